//! What a search says of itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ranking::RankingName;

/// What the search of SACP did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchReport {
    /// What ordered the candidates: `similarity`, `sensitivity` or `regression`.
    #[schema(value_type = String)]
    pub ranking: RankingName,
    /// Configurations that the walk through the band scored.
    pub candidates: u64,
    /// What evolutionary moves from its best gained; `null` with `search.refine` 0.
    #[serde(default)]
    pub refinement: Option<RefinementReport>,
    /// Logarithm to base 10 of the number of configurations that the limits allow.
    pub log10_space: f64,
    /// The share removed of the target's metric lies in this band for every candidate.
    pub band: [f64; 2],
    /// Candidates differ by at least this sum of level steps.
    pub min_distance: u32,
    /// Seconds of scoring, sampling and costs included.
    pub seconds: f64,
    /// Compute threads.
    pub threads: usize,
    /// Where scores were computed.
    pub device: String,
}

/// The second phase of the search. The score is the cosine for `similarity`, minus the predicted divergence for `sensitivity`, the prediction for `regression`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefinementReport {
    /// Configurations tried.
    pub candidates: u64,
    /// The best score of the walk.
    pub score_before: f64,
    /// The best score after the refinement.
    pub score_after: f64,
}
