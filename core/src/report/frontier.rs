//! The accuracy/FLOPs frontier: measured candidates that no other one beats in both.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::candidate::CandidateReport;
use crate::configuration::Origin;

/// Pareto frontiers by ascending MACs. Accuracies after different amounts of training do not compare, so each has its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Frontier {
    /// By validation accuracy after surgery, repaired in closed form or with re-estimated batch norm statistics.
    pub screened: Vec<FrontierPoint>,
    /// By validation accuracy after the repair.
    #[serde(default)]
    pub repaired: Vec<FrontierPoint>,
    /// By validation accuracy after the light fine-tune.
    pub lightly_tuned: Vec<FrontierPoint>,
    /// By validation accuracy after the full fine-tune.
    pub tuned: Vec<FrontierPoint>,
}

/// One candidate on a frontier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FrontierPoint {
    /// Index of the candidate.
    pub candidate: usize,
    /// The method or ranking that proposed it.
    #[schema(value_type = String)]
    pub origin: Origin,
    /// Multiply-accumulates of one sample.
    pub macs: u64,
    /// Validation accuracy, 0 to 1.
    pub accuracy: f64,
}

impl Frontier {
    /// The frontiers among these candidates, one for each amount of training.
    pub fn of(candidates: &[CandidateReport]) -> Self {
        Self {
            screened: best(candidates, |candidate| candidate.screened_accuracy),
            repaired: best(candidates, |candidate| candidate.repaired_accuracy),
            lightly_tuned: best(candidates, |candidate| candidate.light_accuracy),
            tuned: best(candidates, |candidate| candidate.tuned_accuracy),
        }
    }
}

/// From the cheapest on, each candidate that is more accurate than all cheaper ones; the first of equals.
fn best(candidates: &[CandidateReport], accuracy: impl Fn(&CandidateReport) -> Option<f64>) -> Vec<FrontierPoint> {
    let mut measured: Vec<FrontierPoint> = candidates
        .iter()
        .filter_map(|candidate| {
            let accuracy = accuracy(candidate)?;
            let origin = candidate.origin;
            Some(FrontierPoint { candidate: candidate.index, origin, macs: candidate.macs, accuracy })
        })
        .collect();
    measured.sort_by(|a, b| a.macs.cmp(&b.macs).then(b.accuracy.total_cmp(&a.accuracy)));
    let mut frontier: Vec<FrontierPoint> = Vec::new();
    for point in measured {
        if frontier.last().is_none_or(|last| point.accuracy > last.accuracy) {
            frontier.push(point);
        }
    }
    frontier
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: usize, macs: u64, screened: f64, tuned: Option<f64>) -> CandidateReport {
        CandidateReport {
            index,
            origin: Origin::Sensitivity,
            macs,
            params: 1,
            reduction: 0.5,
            widths: Vec::new(),
            similarity: None,
            predicted_divergence: None,
            predicted_latency_ms: None,
            predicted_value: None,
            screened_accuracy: Some(screened),
            repaired_accuracy: None,
            light_accuracy: None,
            tuned_accuracy: tuned,
            screened_metric: None,
            repaired_metric: None,
            light_metric: None,
            tuned_metric: None,
        }
    }

    fn indices(points: &[FrontierPoint]) -> Vec<usize> {
        points.iter().map(|point| point.candidate).collect()
    }

    #[test]
    fn a_candidate_that_another_beats_in_both_is_left_out() {
        let candidates = [
            candidate(0, 300, 0.9, None),
            candidate(1, 100, 0.5, None),
            candidate(2, 200, 0.4, None),
            candidate(3, 300, 0.8, None),
            candidate(4, 200, 0.7, None),
        ];
        assert_eq!(indices(&Frontier::of(&candidates).screened), [1, 4, 0]);
    }

    #[test]
    fn of_equals_the_first_is_on_the_frontier() {
        let candidates = [candidate(0, 100, 0.5, None), candidate(1, 100, 0.5, None), candidate(2, 200, 0.5, None)];
        assert_eq!(indices(&Frontier::of(&candidates).screened), [0]);
    }

    #[test]
    fn accuracies_after_different_training_are_kept_apart() {
        let candidates = [candidate(0, 100, 0.2, Some(0.9)), candidate(1, 200, 0.8, None)];
        let frontier = Frontier::of(&candidates);
        assert_eq!(indices(&frontier.screened), [0, 1]);
        assert_eq!(indices(&frontier.tuned), [0]);
        assert!(frontier.lightly_tuned.is_empty());
    }
}
