//! Physical surgery on each candidate of a part of them, proved by the oracle, repaired, measured.

use secateur_core::recovery::Screened;
use secateur_core::stage::screen::{ScreenResult, ScreenWork, screened_weights};
use secateur_core::wire::Reading;

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
        if let Some(validator) = &validator
            && let Some(value) = found.accuracy.or(found.metric)
        {
            let figures = [(format!("validation_{}", validator.measure().as_str()), value)].into();
            progress.tell(Reading { unit: "candidate".to_owned(), step: index as u64, candidate: None, figures });
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
