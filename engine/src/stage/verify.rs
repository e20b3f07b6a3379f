//! The written file, in a process that never saw the network: reloaded, compared, timed, reported.

use std::collections::HashMap;

use secateur_core::graph::Graph;
use secateur_core::report::{Reload, Verified, assemble};
use secateur_core::stage::export::{BASE_MODEL, PROBE_BATCHES, PROBES, PRUNED_MODEL};
use secateur_core::stage::verify::{REPORT, VerifyResult, VerifyWork};
use secateur_core::surgery::Equivalence;
use tch::{Device, Tensor};

use super::task::Task;
use crate::error::Error;
use crate::measure::latency;
use crate::network::weights;
use crate::process::sandbox;
use crate::process::versions::versions;
use crate::proof::difference;
use crate::torch::{Reloaded, TorchError};

/// Checks the written file and writes the report.
///
/// # Errors
/// The file does not compute what the network did, which is our bug.
pub(super) fn run(task: &Task, work: &VerifyWork) -> Result<VerifyResult, Error> {
    let history = &work.history;
    let graph = task.graph()?;
    let candidate = task.candidate(history.winner)?;
    let probes: HashMap<String, Tensor> = weights::load_named(&task.path(PROBES), Device::Cpu)?.into_iter().collect();

    let reload = compare(|| open(task, &graph, PRUNED_MODEL, Device::Cpu), &probes)?;
    task.messages.log(format!("the file computes what the network did, largest difference {:e}", reload.max_abs_diff));

    let timed = |name| open(task, &graph, name, task.device);
    let (base, pruned) = (timed(BASE_MODEL)?, timed(PRUNED_MODEL)?);
    let inputs = numbered(&probes, PROBE_BATCHES[0], "input");
    let inputs: Vec<Tensor> = inputs.iter().map(|input| Ok(input.f_to(task.device)?)).collect::<Result<_, Error>>()?;
    let (base_latency, pruned_latency) = latency::side_by_side(
        &mut || base.forward(&inputs).map(drop).map_err(Error::from),
        &mut || pruned.forward(&inputs).map(drop).map_err(Error::from),
        task.threads,
        task.device,
    )?;
    let (before, after) = (base_latency.p50, pruned_latency.p50);
    task.messages.log(format!("latency at batch 1: {before:.3} ms before, {after:.3} ms after"));

    let verified =
        Verified { reload, base_latency, pruned_latency, sandbox: sandbox::in_force(), versions: versions() };
    let report = assemble(task.spec, history, &graph, &candidate, verified);
    let report = report.map_err(|error| Error::internal(error.to_string()))?;
    task.write_json(REPORT, &report)?;
    Ok(VerifyResult { report: Box::new(report) })
}

/// A written file as a user's process loads it.
pub(super) fn open(task: &Task, graph: &Graph, name: &str, device: Device) -> Result<Reloaded, TorchError> {
    Ok(Reloaded::open(&task.path(name), device)?.with_numbers(&graph.file().numbers))
}

/// The reloaded file on the probes, at both batch sizes; anew for each, since a program may keep something of a call.
pub(super) fn compare(
    pruned: impl Fn() -> Result<Reloaded, TorchError>,
    probes: &HashMap<String, Tensor>,
) -> Result<Reload, Error> {
    let mut worst: Option<Equivalence> = None;
    for batch in PROBE_BATCHES {
        let inputs = numbered(probes, batch, "input");
        let outputs = pruned()?.forward(&inputs)?;
        let found = difference::between(&outputs, &numbered(probes, batch, "output")).map_err(|error| match error {
            Error::Rejected(_) => error,
            other => Error::internal(format!("the reloaded file at batch {batch}: {other}")),
        })?;
        if !difference::is_within_tolerance(found) {
            return Err(Error::internal(format!(
                "our bug: at batch {batch} the reloaded file differs from the network in memory by {:e}, at most {:e} is \
                 rounding",
                found.max_abs_diff, found.tolerance
            )));
        }
        worst = Some(worst.map_or(found, |worst| difference::worse(worst, found)));
    }
    let Equivalence { max_abs_diff, tolerance } = worst.expect("there are two probe batches");
    Ok(Reload { batches: PROBE_BATCHES.map(|batch| batch as u32).to_vec(), max_abs_diff, tolerance })
}

/// The probes `BATCH.KIND.0`, `BATCH.KIND.1` and so on.
fn numbered(probes: &HashMap<String, Tensor>, batch: i64, kind: &str) -> Vec<Tensor> {
    (0..)
        .map_while(|number: usize| probes.get(&format!("{batch}.{kind}.{number}")))
        .map(Tensor::shallow_clone)
        .collect()
}
