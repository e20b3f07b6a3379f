//! What was measured of a model on a data set, kept so that a later job on the same two need not measure it again.
//!
//! A measurement is a named value: `sensitivity/GROUP/WIDTH` or `screen/CONFIGURATION`. It holds for every job with the same
//! [`fingerprint`], which covers all that the value depends on: the bytes of model and data set, the groups that indices
//! refer to, the settings of the spec that reach the measurement, and the version of the procedure. The target is not
//! among them, so a second job with another target takes the sensitivities over. Constraints choose which widths are
//! measured and not what comes out, so they are part of the names only.
//!
//! An encoder's calibration sample is not kept: half of it lies in the band of the job's target.
//!
//! [`names`] is what a stage wants to know, [`brought`] what a finished task found out, [`known`] turns what is kept into
//! the job's own indices. The planner plans tasks for the rest. Values that were measured on another device or with
//! another number of threads differ by rounding; they are taken over all the same.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::report::Equivalence;
use crate::search::additive::{Probe, Sensitivity};
use crate::spec::{JobSpec, Method};
use crate::stage::{JobView, Stage};
use crate::task::{CandidateCosts, Screened, TaskResult};

/// Raised when the way in which sensitivities are measured changes their values.
const SENSITIVITY_VERSION: u32 = 1;
/// The same for the screen.
const SCREEN_VERSION: u32 = 1;

/// Measurements in terms of one job: groups and candidates are the job's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measurements {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitivities: Vec<Sensitivity>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screened: Vec<Screened>,
}

impl Measurements {
    /// For a job that knows nothing from before.
    pub const NONE: &'static Self = &Self { sensitivities: Vec::new(), screened: Vec::new() };

    pub fn len(&self) -> usize {
        self.sensitivities.len() + self.screened.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them belong to a stage.
    pub fn of_stage(&self, stage: Stage) -> usize {
        match stage {
            Stage::Sensitivity => self.sensitivities.len(),
            Stage::Screen => self.screened.len(),
            _ => 0,
        }
    }

    pub fn extend(&mut self, more: Self) {
        self.sensitivities.extend(more.sensitivities);
        self.screened.extend(more.screened);
    }

    pub fn counts(&self) -> Reused {
        Reused { sensitivities: self.sensitivities.len() as u64, screens: self.screened.len() as u64 }
    }
}

/// Measurements of a job that earlier jobs on the same model and data set had made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Reused {
    /// Sensitivities, each of one group at one width.
    pub sensitivities: u64,
    /// Candidates whose screen was taken over.
    pub screens: u64,
}

/// A measurement as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub name: String,
    pub value: Value,
}

/// Digests of the two files that a measurement is of, hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub model_sha256: &'a str,
    pub dataset_sha256: &'a str,
}

/// What a stage's measurements depend on, as one digest; `None` for a stage whose results are not kept.
///
/// The screen's are kept for `sacp` only: with the other methods its one network is tuned next, and a screen that was
/// taken over brings no weights.
pub fn fingerprint(stage: Stage, job: JobView<'_>, subject: Subject<'_>) -> Option<String> {
    if !job.has_dataset {
        return None;
    }
    let procedure = match stage {
        // Says which channels a width keeps; a screened configuration names its channels itself.
        Stage::Sensitivity => json!({"sensitivity": SENSITIVITY_VERSION, "importance": job.spec.importance}),
        Stage::Screen if job.spec.method == Method::Sacp => json!({"screen": SCREEN_VERSION}),
        _ => return None,
    };
    // Every field is named, so that a new one does not compile until somebody has decided.
    let JobSpec {
        input_shape,
        input,
        // In the procedure, where it matters.
        importance: _,
        // Splits a data set that has no splits of its own, and draws the batches of the batch norm statistics.
        seed,
        // Which networks are measured, what is searched among them, and what is done with them afterwards.
        target: _,
        method: _,
        config: _,
        constraints: _,
        encoder: _,
        search: _,
        fine_tune: _,
        // Has been filled in.
        preset: _,
        name: _,
        labels: _,
    } = job.spec;
    Some(digest(&json!({
        "procedure": procedure,
        "model": subject.model_sha256,
        "dataset": subject.dataset_sha256,
        "groups": job.graph()?.grouping,
        "input_shape": input_shape,
        "input": input,
        "seed": seed,
    })))
}

/// SHA-256 of a value's JSON, hexadecimal.
pub fn digest(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("plain data serialises");
    Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of all that a stage measures.
pub fn names(stage: Stage, job: JobView<'_>) -> Vec<String> {
    match stage {
        Stage::Sensitivity => job.probes().iter().map(|&probe| sensitivity_name(probe)).collect(),
        Stage::Screen => job.search().unwrap_or_default().iter().map(screen_name).collect(),
        _ => Vec::new(),
    }
}

/// What a task found out that later jobs may want.
pub fn brought(result: &TaskResult, job: JobView<'_>) -> Vec<Kept> {
    match result {
        TaskResult::Sensitivity(result) => {
            let kept = |measured: &Sensitivity| {
                let name = sensitivity_name(Probe { group: measured.group, width: measured.width });
                Kept { name, value: value(&Divergence { divergence: measured.divergence }) }
            };
            result.measured.iter().map(kept).collect()
        }
        TaskResult::Screen(result) => {
            let proposed = job.search().unwrap_or_default();
            let kept = |screened: &Screened| {
                let &Screened { candidate, equivalence, accuracy, agreement } = screened;
                let costs = proposed.iter().find(|costs| costs.index == candidate)?;
                Some(Kept { name: screen_name(costs), value: value(&Screen { equivalence, accuracy, agreement }) })
            };
            result.screened.iter().filter_map(kept).collect()
        }
        _ => Vec::new(),
    }
}

/// What is kept of a stage's [`names`], in the job's own indices. A value that does not read is not known.
pub fn known(stage: Stage, job: JobView<'_>, kept: &[Kept]) -> Measurements {
    let find = |name: &str| kept.iter().find(|kept| kept.name == name).map(|kept| kept.value.clone());
    let mut known = Measurements::default();
    match stage {
        Stage::Sensitivity => known.sensitivities.extend(job.probes().iter().filter_map(|&probe| {
            let Divergence { divergence } = serde_json::from_value(find(&sensitivity_name(probe))?).ok()?;
            Some(Sensitivity { group: probe.group, width: probe.width, divergence })
        })),
        Stage::Screen => known.screened.extend(job.search().unwrap_or_default().iter().filter_map(|costs| {
            let Screen { equivalence, accuracy, agreement } =
                serde_json::from_value(find(&screen_name(costs))?).ok()?;
            Some(Screened { candidate: costs.index, equivalence, accuracy, agreement })
        })),
        _ => {}
    }
    known
}

/// The value of a sensitivity.
#[derive(Serialize, Deserialize)]
struct Divergence {
    divergence: f64,
}

/// The value of a screen: [`Screened`] without the index that the candidate has in its job.
#[derive(Serialize, Deserialize)]
struct Screen {
    equivalence: Equivalence,
    accuracy: Option<f64>,
    agreement: Option<f64>,
}

fn value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("plain data serialises")
}

fn sensitivity_name(Probe { group, width }: Probe) -> String {
    format!("sensitivity/{group}/{width}")
}

fn screen_name(costs: &CandidateCosts) -> String {
    format!("screen/{}", costs.configuration)
}

#[cfg(test)]
mod tests;
