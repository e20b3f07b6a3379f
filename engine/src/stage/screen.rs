//! Physical surgery on each candidate of a part of them, proved by the oracle, with batch norm statistics of its own, measured.

use secateur_core::recovery::{Measure, Screened};
use secateur_core::stage::screen::{ScreenResult, ScreenWork, screened_weights};

use super::candidate::{self, cut_and_reestimated};
use super::task::Task;
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::network::{Network, weights};

/// Screens the candidates.
///
/// # Errors
/// A surgery is not exact, which is our bug.
pub(super) fn run(task: &Task, work: &ScreenWork) -> Result<ScreenResult, Error> {
    let original = task.original()?;
    let splits = match task.data(original.graph())? {
        Some(data) => Some((data.split(SplitName::Train)?, data.split(SplitName::Val)?)),
        None => None,
    };
    let mut progress = task.messages.count(work.candidates.len() as u64, "candidates");
    let mut screened = Vec::with_capacity(work.candidates.len());
    for &index in &work.candidates {
        let found = screen(task, &original, splits.as_ref(), index)?;
        if let Some(accuracy) = found.accuracy {
            progress.note(format!("candidate {index}: validation accuracy {accuracy:.4}"));
        } else if let Some(agreement) = found.agreement {
            progress.note(format!("candidate {index}: agreement with the original {agreement:.4}"));
        }
        screened.push(found);
        progress.advance();
    }
    Ok(ScreenResult { screened })
}

fn screen(task: &Task, original: &Network, splits: Option<&(Split, Split)>, index: usize) -> Result<Screened, Error> {
    let train = splits.map(|(train, _)| train);
    let (pruned, equivalence) = cut_and_reestimated(task, original, &task.candidate(index)?, train)?;
    weights::save(&task.path(&screened_weights(index)), pruned.graph(), pruned.weights())?;
    let (accuracy, agreement) = match splits.map(|(_, val)| candidate::value(original, &pruned, val)).transpose()? {
        Some((Measure::Accuracy, accuracy)) => (Some(accuracy), None),
        Some((Measure::Agreement, agreement)) => (None, Some(agreement)),
        None => (None, None),
    };
    Ok(Screened { candidate: index, equivalence, accuracy, agreement })
}
