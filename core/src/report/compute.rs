//! What a job's training cost, beside what a plain fine-tune of its result costs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::candidate::CandidateReport;
use super::history::History;
use crate::spec::JobSpec;

/// What the job's training cost. The measure of a search: a user without it would fine-tune one network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComputeReport {
    /// Of all networks that were trained, those that lost too; `seconds` are those of all stages, the measuring and searching included.
    pub job: Spent,
    /// Of the full fine-tune of the exported network alone; `null` where it was not trained.
    pub plain: Option<Spent>,
}

/// What was spent on training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spent {
    /// Passes over the training split.
    pub epochs: f64,
    /// The same, each multiplied by the share of the original's multiply-accumulates that the trained network has: epochs of the original
    /// that cost as much.
    pub epochs_of_original: f64,
    /// Wall time of the engine; tasks are added up.
    pub seconds: f64,
}

impl Spent {
    fn add(&mut self, epochs: f64, share: f64) {
        self.epochs += epochs;
        self.epochs_of_original += epochs * share;
    }
}

/// `None` where nothing was trained.
pub(super) fn compute(
    spec: &JobSpec,
    history: &History,
    candidates: &[CandidateReport],
    macs: u64,
) -> Option<ComputeReport> {
    let samples = history.original.data.as_ref()?.samples.train as f64;
    let settings = spec.fine_tune.as_ref()?;
    let share = |candidate: usize| {
        let found = candidates.iter().find(|found| found.index == candidate);
        found.map_or(1.0, |found| found.macs as f64 / macs as f64)
    };
    let steps = history.repair_steps.unwrap_or(0) as f64;
    let repair = (steps * settings.batch_size.get() as f64 / samples).min(1.0);
    let seconds = history.times.values().map(|time| time.computing).sum();
    let mut job = Spent { seconds, ..Spent::default() };
    for rated in &history.repaired {
        job.add(repair, share(rated.candidate));
    }
    for rated in &history.lightly_tuned {
        job.add(f64::from(settings.light_epochs), share(rated.candidate));
    }
    let mut plain = None;
    for tuned in &history.tuned {
        let epochs = tuned.epochs.len() as f64;
        job.add(epochs, share(tuned.candidate));
        if tuned.candidate == history.winner {
            let seconds = tuned.epochs.iter().map(|epoch| epoch.seconds).sum();
            let mut alone = Spent { seconds, ..Spent::default() };
            alone.add(epochs, share(tuned.candidate));
            plain = Some(alone);
        }
    }
    (job.epochs > 0.0).then_some(ComputeReport { job, plain })
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

    fn rated(candidate: usize) -> Value {
        json!({"candidate": candidate, "score": {"accuracy": 0.5, "metric": null, "loss": 1.0}})
    }

    fn tuned(candidate: usize, epochs: u32) -> Value {
        let epochs: Vec<Value> = (1..=epochs)
            .map(|epoch| json!({"epoch": epoch, "train_loss": 1.0, "val_accuracy": 0.5, "seconds": 3.0}))
            .collect();
        let score = rated(candidate)["score"].clone();
        json!({"candidate": candidate, "epochs": epochs, "best_epoch": 1, "accuracy": null, "score": score})
    }

    #[test]
    fn every_network_that_was_trained_counts_by_its_size() {
        let spec = JobSpec::from_json(
            r#"{"target": {"flops_reduction": 0.5}, "fine_tune": {"batch_size": 50, "epochs": 6, "light_epochs": 2}}"#,
        );
        let candidates = [candidate(0, 500), candidate(1, 400)];
        let history = history(&json!({
            "repair_steps": 10,
            "repaired": [rated(0), rated(1)],
            "lightly_tuned": [rated(0), rated(1)],
            // The second stopped early.
            "tuned": [tuned(0, 6), tuned(1, 4)],
        }));
        let found = compute(&spec.unwrap(), &history, &candidates, 1000).unwrap();
        // Ten steps of 50 are half a pass over 1000 samples.
        let (of_first, of_second) = (0.5 + 2.0 + 6.0, 0.5 + 2.0 + 4.0);
        let of_original = of_first * 0.5 + of_second * 0.4;
        assert_eq!(found.job.epochs, of_first + of_second);
        assert!((found.job.epochs_of_original - of_original).abs() < 1e-12, "{found:?}");
        assert_eq!(found.job.seconds, 25.0);
        assert_eq!(found.plain, Some(Spent { epochs: 4.0, epochs_of_original: 1.6, seconds: 12.0 }));
    }

    #[test]
    fn a_job_that_trained_nothing_has_none() {
        let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}}"#).unwrap();
        assert_eq!(compute(&spec, &history(&json!({})), &[candidate(1, 400)], 1000), None);
    }
}
