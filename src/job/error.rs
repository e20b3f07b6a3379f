//! Why a job failed.

use secateur_core::plain_text;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::Stage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `internal` is our bug; every other code but [`NO_ROOM`] is something that the user can mend.
pub const INTERNAL: &str = "internal";

/// The service's own disk is full, as an upload is told too.
const NO_ROOM: &str = "storage_full";

/// Characters of an internal error's detail that are kept; the log has the rest.
const LONGEST_DETAIL: usize = 2000;

/// The error of a failed job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    /// Stable; `internal` for our own faults.
    pub code: String,
    pub title: String,
    pub detail: String,
    pub stage: Stage,
    /// The node of the graph, the tensor or the archive record that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl JobError {
    pub fn internal(stage: Stage, detail: impl Into<String>) -> Self {
        Self {
            code: INTERNAL.to_owned(),
            title: "Internal error".to_owned(),
            detail: plain_text::line_within(&detail.into(), LONGEST_DETAIL),
            stage,
            node: None,
            hint: Some("This is a fault of the service. `log.txt` of the job has the details.".to_owned()),
        }
    }

    pub fn rejected(stage: Stage, rejection: Rejection) -> Self {
        let rejection = rejection.presentable();
        Self {
            code: rejection.code.as_str().to_owned(),
            title: rejection.code.title().to_owned(),
            detail: rejection.detail,
            stage,
            node: rejection.node,
            hint: rejection.hint,
        }
    }

    /// A disk of the service was full whenever the task was tried.
    pub fn no_room(stage: Stage, detail: impl Into<String>) -> Self {
        let hint = "Whoever runs the service has to make room; after that the job can be sent again.";
        Self {
            code: NO_ROOM.to_owned(),
            title: "No space left".to_owned(),
            hint: Some(hint.to_owned()),
            ..Self::internal(stage, detail)
        }
    }

    pub fn out_of_memory(stage: Stage, detail: impl Into<String>) -> Self {
        let hint = "A smaller `fine_tune.batch_size` needs less memory; so does a worker with more.";
        Self::rejected(stage, Rejection::new(Code::OutOfMemory, detail).hint(hint))
    }

    pub fn timed_out(stage: Stage, detail: impl Into<String>) -> Self {
        let hint = match stage {
            Stage::Inspect | Stage::Import => {
                "A smaller `input_shape` takes less time; does every loop of the model end?"
            }
            _ => "Fewer `fine_tune.epochs` take less time; the operator can raise the limit.",
        };
        Self::rejected(stage, Rejection::new(Code::TimedOut, detail).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_is_kept_in_bounds_and_without_what_a_terminal_obeys() {
        let said = format!("\u{1b}]0;title\u{7}{}", "x".repeat(1 << 20));
        let internal = JobError::internal(Stage::Import, said.clone());
        let rejected = JobError::rejected(Stage::Import, Rejection::new(Code::UnsupportedModel, said));
        for error in [internal, rejected] {
            assert!(error.detail.starts_with("\\u001b]0;title\\u0007x"), "{}", &error.detail[..40]);
            assert_eq!(error.detail.chars().count(), LONGEST_DETAIL + 1);
        }
    }
}
