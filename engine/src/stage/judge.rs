//! The judge is outside: whoever runs the job asks for the scores, and no engine.

use secateur_core::stage::judge::{JudgeResult, JudgeWork};

use super::task::Task;
use crate::error::Error;

/// Refuses the task.
///
/// # Errors
/// Always: it was sent to an engine by mistake.
pub(super) fn run(_task: &Task, work: &JudgeWork) -> Result<JudgeResult, Error> {
    Err(Error::internal(format!("{} finalists are for a judge, and an engine is none", work.finalists.len())))
}
