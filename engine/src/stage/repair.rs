//! The rung `repair`: some steps of distillation for all that were screened.

use secateur_core::stage::repair::{RepairWork, repaired_weights};
use secateur_core::stage::rung::RungResult;
use secateur_core::stage::screen::screened_weights;

use super::rung::{Ground, Rung, climb};
use super::task::Task;
use crate::error::Error;
use crate::measure::evaluate::Validator;
use crate::network::Network;
use crate::training::repair::Repair;

const REPAIR: Rung = Rung { from: &[screened_weights], to: repaired_weights };

/// Repairs the candidates.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &RepairWork) -> Result<RungResult, Error> {
    let ground = Ground::of(task)?;
    let steps = task.spec.search.repair_steps as usize;
    let Ground { original, outputs, train, val } = &ground;
    let repair = Repair::new(original, outputs, train, task.fine_tune()?, steps, task.spec.seed)?;
    let validator = Validator::new(original, outputs, val)?;
    let mut progress = task.messages.count(work.candidates.len() as u64, "candidates");
    let rated = climb(task, &ground, &work.candidates, &REPAIR, |graph, start| {
        let repaired = repair.network(Network::new(graph.clone(), start)?)?;
        let score = validator.score(&repaired)?;
        progress.advance();
        Ok((repaired.into_parts().1, score))
    })?;
    Ok(RungResult { steps: repair.steps(), rated })
}
