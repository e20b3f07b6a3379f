//! The rung `repair`: some steps of distillation for all that were screened.

use secateur_core::stage::repair::{RepairWork, repaired_weights};
use secateur_core::stage::rung::RungResult;
use secateur_core::stage::screen::screened_weights;

use super::candidate::Ground;
use super::rung::{Rung, climb};
use super::task::Task;
use crate::error::Error;
use crate::network::Network;
use crate::training::repair::Repair;

const REPAIR: Rung = Rung { from: &[screened_weights], to: repaired_weights };

/// Repairs the candidates.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &RepairWork) -> Result<RungResult, Error> {
    let original = task.original()?;
    let ground = Ground::needed(task, &original)?;
    let steps = task.spec.repair_steps() as usize;
    let repair = Repair::new(&original, &ground.outputs, &ground.train, task.fine_tune()?, steps, task.spec.seed)?;
    let validator = ground.validator(&original)?;
    let mut progress = task.messages.count(work.candidates.len() as u64, "candidates");
    let rated = climb(task, &original, (&ground, &validator), &work.candidates, &REPAIR, |_, graph, start| {
        let repaired = repair.network(Network::new(graph.clone(), start)?)?;
        let score = validator.score(&repaired)?;
        progress.advance();
        Ok((repaired.into_parts().1, score))
    })?;
    Ok(RungResult { steps: repair.steps(), rated })
}
