//! A configuration: which channels of every coupled group remain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which channels of every group remain; the one thing that a search decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// For each group, in the order of [`crate::group::Grouping::groups`], the kept channels, ascending, never empty.
    pub keep: Vec<Vec<u32>>,
}

/// A configuration with what it costs and where it came from; `candidates.json` is a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub index: usize,
    /// The method that proposed it: `uniform`, `global_l1`, `global_l2`, `config`.
    pub origin: String,
    pub configuration: Configuration,
    pub macs: u64,
    pub params: u64,
    pub channels: u64,
}

/// The content of `config.json`: a configuration by group name, replayable on the same model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    pub format: u32,
    /// Group name to the kept channels, ascending.
    pub groups: BTreeMap<String, Vec<u32>>,
}
