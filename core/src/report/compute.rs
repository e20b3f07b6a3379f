//! What a job cost, beside what a plain fine-tune of its result costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::StageTime;
use super::candidate::CandidateReport;
use super::history::{History, Training};

/// What the job cost, to be compared with `plain`: without a search a user would fine-tune one network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ComputeReport {
    /// Of all stages; networks that were trained and lost count too.
    #[serde(flatten)]
    pub job: Spent,
    /// Of each stage, by its name.
    pub by_stage: BTreeMap<String, Spent>,
    /// Of the full fine-tune of the exported network alone; `null` where it was not trained.
    pub plain: Option<Spent>,
}

/// What was spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spent {
    /// Passes over the training split in training.
    pub epochs: f64,
    /// The same, each multiplied by the share of the original's multiply-accumulates that the trained network has: epochs of the original
    /// that cost as much.
    pub epochs_of_original: f64,
    /// Wall time in which engines computed; tasks are added up.
    pub seconds: f64,
}

impl Spent {
    fn train(&mut self, epochs: f64, share: f64) {
        self.epochs += epochs;
        self.epochs_of_original += epochs * share;
    }

    fn add(&mut self, other: &Self) {
        self.epochs += other.epochs;
        self.epochs_of_original += other.epochs_of_original;
        self.seconds += other.seconds;
    }
}

/// `macs` are the original's.
pub(super) fn compute(history: &History, candidates: &[CandidateReport], macs: u64) -> ComputeReport {
    let of_stage =
        |(stage, time): (&String, &StageTime)| (stage.clone(), Spent { seconds: time.computing, ..Spent::default() });
    let mut by_stage: BTreeMap<String, Spent> = history.times.iter().map(of_stage).collect();
    let share = |candidate: usize| {
        let found = candidates.iter().find(|found| found.index == candidate);
        found.map_or(1.0, |found| found.macs as f64 / macs as f64)
    };
    for Training { stage, candidate, epochs } in &history.trained {
        by_stage.entry(stage.clone()).or_default().train(*epochs, share(*candidate));
    }
    let mut job = Spent::default();
    for spent in by_stage.values() {
        job.add(spent);
    }
    let winner = history.tuned.iter().find(|tuned| tuned.candidate == history.winner);
    let plain = winner.map(|tuned| {
        let seconds = tuned.epochs.iter().map(|epoch| epoch.seconds).sum();
        let mut alone = Spent { seconds, ..Spent::default() };
        alone.train(tuned.epochs.len() as f64, share(tuned.candidate));
        alone
    });
    ComputeReport { job, by_stage, plain }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::configuration::Origin;

    fn candidate(index: usize, macs: u64) -> CandidateReport {
        let made_up = json!({
            "index": index, "origin": Origin::Uniform, "macs": macs, "params": 1, "reduction": 0.5,
            "screened_accuracy": null, "light_accuracy": null, "tuned_accuracy": null,
        });
        serde_json::from_value(made_up).unwrap()
    }

    fn history(more: &Value) -> History {
        let mut made_up = json!({
            "original": {
                "bytes": 1, "sha256": "00", "max_abs_diff": 0.0,
                "data": {"samples": {"train": 1000, "val": 10, "test": 10}, "classes": 2, "outputs": 2},
            },
            "screened": [], "tuned": [], "exported": {"bytes": 1}, "winner": 1, "seconds": {},
            "times": {
                "screen": {"waiting": 9.0, "setting_up": 9.0, "computing": 5.0},
                "tune": {"waiting": 9.0, "setting_up": 9.0, "computing": 20.0},
            },
        });
        made_up.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(made_up).unwrap()
    }

    fn tuned(candidate: usize, epochs: u32) -> Value {
        let epochs: Vec<Value> = (1..=epochs)
            .map(|epoch| json!({"epoch": epoch, "train_loss": 1.0, "val_accuracy": 0.5, "seconds": 3.0}))
            .collect();
        let score = json!({"accuracy": 0.5, "metric": null, "loss": 1.0});
        json!({"candidate": candidate, "epochs": epochs, "best_epoch": 1, "accuracy": null, "score": score})
    }

    fn training(stage: &str, candidate: usize, epochs: f64) -> Value {
        json!({"stage": stage, "candidate": candidate, "epochs": epochs})
    }

    #[test]
    fn every_network_that_was_trained_counts_by_its_size() {
        let candidates = [candidate(0, 500), candidate(1, 400)];
        let trained =
            [("repair", 0, 0.5), ("light_tune", 0, 2.0), ("light_tune", 1, 2.0), ("tune", 0, 6.0), ("tune", 1, 4.0)];
        let trained = trained.map(|(stage, candidate, epochs)| training(stage, candidate, epochs));
        let history = history(&json!({"trained": trained, "tuned": [tuned(0, 6), tuned(1, 4)]}));
        let found = compute(&history, &candidates, 1000);
        assert_eq!(found.job.epochs, 14.5);
        assert!((found.job.epochs_of_original - (8.5 * 0.5 + 6.0 * 0.4)).abs() < 1e-12, "{found:?}");
        assert_eq!(found.job.seconds, 25.0);
        assert_eq!(found.by_stage["tune"], Spent { epochs: 10.0, epochs_of_original: 4.6, seconds: 20.0 });
        assert_eq!(found.by_stage["screen"], Spent { seconds: 5.0, ..Spent::default() });
        assert_eq!(found.plain, Some(Spent { epochs: 4.0, epochs_of_original: 1.6, seconds: 12.0 }));
    }

    #[test]
    fn a_job_that_trained_nothing_took_time_alone() {
        let found = compute(&history(&json!({})), &[candidate(1, 400)], 1000);
        assert_eq!((found.job, found.plain), (Spent { seconds: 25.0, ..Spent::default() }, None));
        let written = serde_json::to_value(&found).unwrap();
        assert_eq!((&written["seconds"], &written["by_stage"]["tune"]["seconds"]), (&json!(25.0), &json!(20.0)));
    }
}
