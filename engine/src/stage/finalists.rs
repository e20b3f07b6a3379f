//! A finalist as TorchScript, written by the exporter that writes the winner, and compared with the network in memory before a judge gets it.

use std::collections::HashMap;

use secateur_core::stage::finalists::{FinalistsResult, FinalistsWork, finalist_model};
use tch::{Device, Tensor};

use super::task::Task;
use super::{export, verify};
use crate::error::Error;

/// Writes one finalist.
///
/// # Errors
/// The file does not compute what the network does, which is our bug.
pub(super) fn run(task: &Task, work: &FinalistsWork) -> Result<FinalistsResult, Error> {
    let &FinalistsWork { candidate: index, tuned } = work;
    let original = task.original()?;
    let candidate = task.candidate(index)?;
    let (cut, pruned) = export::network(task, &original, &candidate, tuned)?;
    let name = finalist_model(index);
    export::write_models(task, &original, &candidate, (&cut, &pruned), &name)?;
    let probes: HashMap<String, Tensor> = export::probes(task, &pruned)?.into_iter().collect();
    let reload = verify::compare(|| verify::open(task, original.graph(), &name, Device::Cpu), &probes)?;
    let difference = reload.max_abs_diff;
    task.messages.log(format!("finalist {index} computes what the network does, largest difference {difference:e}"));
    Ok(FinalistsResult { candidate: index })
}
