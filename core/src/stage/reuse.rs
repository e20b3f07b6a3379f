//! What earlier jobs measured on the same model and data set, and what this one leaves for later ones.
//!
//! A measurement is a named value: `sensitivity/GROUP/WIDTH` or `screen/CONFIGURATION`. It holds for every job with the same
//! [`fingerprint`], which covers all that the value depends on: the bytes of model and data set, the groups that indices
//! refer to, the settings of the spec that reach the measurement, and the version of the procedure. The target is not
//! among them, so a second job with another target takes the sensitivities over. Constraints choose which widths are
//! measured and not what comes out, so they are part of the names only.
//!
//! [`names`] is what a stage wants to know, [`brought`] what a finished task found out, [`known`] turns what is kept into
//! the job's own indices; each stage says its own. The planner plans tasks for the rest. Values that were measured on another
//! device or with another number of threads differ by rounding; they are taken over all the same.

use serde_json::json;

use super::job::JobView;
use super::measurement::{Kept, Measurements};
use super::{Stage, TaskResult};
use crate::digest::digest;
use crate::spec::JobSpec;

/// Digests of the two files that a measurement is of, hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Of the model.
    pub model_sha256: &'a str,
    /// Of the data set.
    pub dataset_sha256: &'a str,
}

/// What a stage's measurements depend on, as one digest; `None` for a stage whose results are not kept.
pub fn fingerprint(stage: Stage, job: JobView<'_>, subject: Subject<'_>) -> Option<String> {
    if !job.has_dataset {
        return None;
    }
    let procedure = stage.procedure(job.spec)?;
    // Every field is named, so that a new one does not compile until somebody has decided.
    let JobSpec {
        input_shape,
        inputs,
        input,
        data,
        // In the procedure, where it matters.
        importance: _,
        recovery: _,
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
        judge: _,
        triton: _,
        diagnostics: _,
        // How it takes its turn.
        priority: _,
        requires: _,
        max_runtime_s: _,
        // Whom the server tells.
        webhook: _,
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
        "inputs": inputs,
        "input": input,
        "data": data,
        "seed": seed,
    })))
}

/// The names of all that a stage measures.
pub fn names(stage: Stage, job: JobView<'_>) -> Vec<String> {
    stage.measurements(job)
}

/// What a task found out that later jobs may want to know.
pub fn brought(result: &TaskResult, job: JobView<'_>) -> Vec<Kept> {
    result.brought(job)
}

/// What is kept of a stage's [`names`], in the job's own indices. A value that does not read is not known.
pub fn known(stage: Stage, job: JobView<'_>, kept: &[Kept]) -> Measurements {
    stage.known(job, kept)
}

#[cfg(test)]
mod tests;
