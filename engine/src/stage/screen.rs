//! Physical surgery on each candidate of a part of them, proved by the oracle, repaired, measured.

use secateur_core::recovery::Screened;
use secateur_core::stage::screen::{ScreenResult, ScreenWork, screened_weights};

use super::candidate::{self, Ground, Measured, Repaired};
use super::task::Task;
use crate::error::Error;
use crate::network::{Network, weights};

/// Screens the candidates.
///
/// # Errors
/// A surgery is not exact, which is our bug.
pub(super) fn run(task: &Task, work: &ScreenWork) -> Result<ScreenResult, Error> {
    let original = task.original()?;
    let ground = Ground::of(task, &original)?;
    let validator = ground.as_ref().map(|ground| ground.validator(&original)).transpose()?;
    let mut progress = task.messages.count(work.candidates.len() as u64, "candidates");
    let mut screened = Vec::with_capacity(work.candidates.len());
    for &index in &work.candidates {
        let found = screen(task, &original, ground.as_ref().zip(validator.as_ref()), index)?;
        if let Some(accuracy) = found.accuracy {
            progress.note(format!("candidate {index}: validation accuracy {accuracy:.4}"));
        } else if let Some(agreement) = found.metric {
            let measure = validator.as_ref().map_or("", |validator| validator.measure().as_str());
            progress.note(format!("candidate {index}: {measure} {agreement:.4}, compared with the original"));
        }
        screened.push(found);
        progress.advance();
    }
    Ok(ScreenResult { screened })
}

fn screen(task: &Task, original: &Network, ground: Option<Measured>, index: usize) -> Result<Screened, Error> {
    let configuration = task.candidate(index)?.configuration;
    let Repaired { network, equivalence, score, closed_form } =
        candidate::repaired(task, original, index, &configuration, ground)?;
    weights::save(&task.path(&screened_weights(index)), network.graph(), network.weights())?;
    let (accuracy, metric) = score.map_or((None, None), |score| (score.accuracy, score.metric));
    Ok(Screened { candidate: index, equivalence, accuracy, metric, closed_form })
}
