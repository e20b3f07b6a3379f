//! Physical surgery on each candidate of a part of them, proved by the oracle, with batch norm statistics of its own, measured.

use secateur_core::recovery::Screened;
use secateur_core::stage::screen::{ScreenResult, ScreenWork, screened_weights};

use super::candidate::cut_and_reestimated;
use super::task::Task;
use crate::data::{Split, SplitName};
use crate::error::Error;
use crate::measure::evaluate::Validator;
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
    let outputs = splits.as_ref().map(|(train, _)| task.outputs(&original, train)).transpose()?;
    let validator = match (&outputs, &splits) {
        (Some(outputs), Some((_, val))) => Some(Validator::new(&original, outputs, val)?),
        _ => None,
    };
    let train = splits.as_ref().map(|(train, _)| train);
    let mut progress = task.messages.count(work.candidates.len() as u64, "candidates");
    let mut screened = Vec::with_capacity(work.candidates.len());
    for &index in &work.candidates {
        let found = screen(task, &original, train, validator.as_ref(), index)?;
        if let Some(accuracy) = found.accuracy {
            progress.note(format!("candidate {index}: validation accuracy {accuracy:.4}"));
        } else if let Some(agreement) = found.agreement {
            let measure = validator.as_ref().map_or("", |validator| validator.measure().as_str());
            progress.note(format!("candidate {index}: {measure} {agreement:.4}, compared with the original"));
        }
        screened.push(found);
        progress.advance();
    }
    Ok(ScreenResult { screened })
}

fn screen(
    task: &Task,
    original: &Network,
    train: Option<&Split>,
    validator: Option<&Validator>,
    index: usize,
) -> Result<Screened, Error> {
    let (pruned, equivalence) = cut_and_reestimated(task, original, &task.candidate(index)?, train)?;
    weights::save(&task.path(&screened_weights(index)), pruned.graph(), pruned.weights())?;
    let score = validator.map(|validator| validator.score(&pruned)).transpose()?;
    let (accuracy, agreement) = score.map_or((None, None), |score| (score.accuracy, score.fidelity));
    Ok(Screened { candidate: index, equivalence, accuracy, agreement })
}
