//! The best network that a job has found so far.

use secateur_core::configuration::Origin;
use secateur_core::cost::Costs;
use secateur_core::stage::{JobView, Stage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A measured candidate: the judge's choice or, before and without one, the best by validation, where tuned ones go before screened
/// ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Best {
    pub candidate: usize,
    /// The method that proposed it.
    #[schema(value_type = String)]
    pub origin: Origin,
    /// The stage that measured it, `screen` or `tune`.
    pub stage: Stage,
    pub costs: Costs,
    /// Share removed of the target's metric.
    pub reduction: f64,
    /// On the validation split; `null` without labels.
    pub val_accuracy: Option<f64>,
    /// Without labels: how true the network is to the original on the validation split, by the metric that the report names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_metric: Option<f64>,
}

impl Best {
    /// The best of what is measured; `None` before the first candidate was screened.
    pub fn of(job: JobView<'_>) -> Option<Self> {
        let (stage, index) = job.best()?;
        let proposal = job.proposed()?.iter().find(|proposal| proposal.index == index)?;
        let measured = job.candidates().into_iter().find(|candidate| candidate.index == index)?;
        Some(Self {
            candidate: index,
            origin: proposal.origin,
            stage,
            costs: proposal.costs,
            reduction: proposal.reduction,
            val_metric: if stage == Stage::Tune { measured.tuned_metric } else { measured.screened_metric },
            val_accuracy: if stage == Stage::Tune { measured.tuned_accuracy } else { measured.screened_accuracy },
        })
    }
}
