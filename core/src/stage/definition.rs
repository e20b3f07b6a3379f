//! What a stage has to say of itself.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::job::{JobView, PlanError, PlannedTask};
use super::measurement::{Kept, Measurements};
use crate::sandbox::Profile;
use crate::spec::JobSpec;

/// A stage: when a job has it, which tasks it consists of, what these read and write, and what may be taken over from earlier jobs.
///
/// The engine's file of the same name carries it out.
pub trait Definition {
    /// What one of its tasks is to do, beside the spec.
    type Work: fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned;
    /// What one of its tasks finds out, beside its files.
    type Result: fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned;

    /// How much its tasks may do.
    const PROFILE: Profile = Profile::Task;

    /// Whether it finds out how long a network takes, which is then timed under the settings that a user's own process has.
    const TIMES_NETWORKS: bool = false;

    /// What is counted where all its measurements were taken over.
    const REUSED_UNIT: &'static str = "measurements";

    /// Whether a job goes through it. Stages follow each other in the order of the list.
    fn is_part_of(_spec: &JobSpec, _has_dataset: bool) -> bool {
        true
    }

    /// Its tasks, when all stages before it have finished. `reused` is what [`Definition::taken_over`] has found.
    ///
    /// # Errors
    /// The result of an earlier stage is not there.
    fn plan(job: JobView<'_>, reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError>;

    /// Names of the files that a task writes for later stages and for the user.
    fn files(work: &Self::Work) -> Vec<String>;

    /// Of these files, those that a task with this result has not written, since it uses an earlier job's.
    fn left_out(_result: &Self::Result) -> &'static [&'static str] {
        &[]
    }

    /// What its measurements depend on beside the model, the data set, the groups and the inputs; `None` when they are not kept.
    fn procedure(_spec: &JobSpec) -> Option<Value> {
        None
    }

    /// Names of the measurements that it makes in this job.
    fn measurements(_job: JobView<'_>) -> Vec<String> {
        Vec::new()
    }

    /// What a task found out that later jobs may want to know.
    fn brought(_result: &Self::Result, _job: JobView<'_>) -> Vec<Kept> {
        Vec::new()
    }

    /// What was kept, in the job's own indices. A value that does not read is not known.
    fn known(_job: JobView<'_>, _kept: &[Kept]) -> Measurements {
        Measurements::default()
    }

    /// Of what is known, what this job would measure.
    ///
    /// # Errors
    /// The result of an earlier stage is not there.
    fn taken_over(_job: JobView<'_>, _known: &Measurements) -> Result<Measurements, PlanError> {
        Ok(Measurements::default())
    }

    /// How many of the measurements that a job has taken over are its own.
    fn count_reused(_reused: &Measurements) -> usize {
        0
    }

    /// A made-up result of a task, for tests of what lies above the engine.
    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &Self::Work) -> Self::Result;
}
