//! How an engine ended: one enum for everything that can become of a task.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use secateur_core::rejection::Rejection;
use secateur_core::stage::Stage;
use secateur_core::task::TaskResult;

use crate::job::JobError;

#[derive(Debug, Clone, PartialEq)]
pub enum Exit {
    Done {
        result: TaskResult,
        /// What computed it.
        device: String,
        files: Vec<String>,
    },
    /// The user can mend it.
    Rejected(Rejection),
    /// The engine says that it failed.
    Failed(String),
    /// Killed from outside, most likely by the kernel for want of memory.
    OutOfMemory,
    /// Died of a signal.
    Signal(i32),
    /// Ended without an outcome.
    Code(i32),
    TimedOut(Duration),
    /// Sent something that is no frame, or no outcome for the task that it was given.
    Protocol(String),
    /// Stopped by us: cancelled, lease lost or shutdown.
    Stopped,
    /// Could not be started.
    NotStarted(String),
}

impl Exit {
    /// An end without an outcome.
    pub(super) fn without_outcome(status: ExitStatus) -> Self {
        const SIGKILL: i32 = 9;
        match (status.signal(), status.code()) {
            (Some(SIGKILL), _) => Self::OutOfMemory,
            (Some(signal), _) => Self::Signal(signal),
            (None, code) => Self::Code(code.unwrap_or(-1)),
        }
    }

    /// The job's error, when this is the end of it; `None` for [`Exit::Done`] and [`Exit::Stopped`].
    pub fn error(&self, stage: Stage) -> Option<JobError> {
        match self {
            Self::Done { .. } | Self::Stopped => None,
            Self::Rejected(rejection) => Some(JobError::rejected(stage, rejection.clone())),
            Self::OutOfMemory => {
                let detail =
                    format!("The engine was killed in stage {}, most likely for want of memory.", stage.as_str());
                Some(JobError::out_of_memory(stage, detail))
            }
            Self::TimedOut(limit) => {
                let detail = format!("A task of stage {} ran longer than {} seconds.", stage.as_str(), limit.as_secs());
                Some(JobError::timed_out(stage, detail))
            }
            Self::Failed(message) => {
                Some(JobError::internal(stage, format!("The engine failed in stage {}: {message}", stage.as_str())))
            }
            Self::Signal(signal) => {
                let detail = format!("The engine died of signal {signal} in stage {}.", stage.as_str());
                Some(JobError::internal(stage, detail))
            }
            Self::Code(code) => {
                let detail = format!("The engine ended with code {code} and no outcome in stage {}.", stage.as_str());
                Some(JobError::internal(stage, detail))
            }
            Self::Protocol(what) => {
                let detail = format!("The engine broke the protocol in stage {}: {what}.", stage.as_str());
                Some(JobError::internal(stage, detail))
            }
            Self::NotStarted(why) => Some(JobError::internal(stage, format!("The engine did not start: {why}."))),
        }
    }

    /// Whether another attempt may end otherwise.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Done { .. } | Self::Rejected(_) | Self::TimedOut(_) | Self::Stopped => false,
            Self::Failed(_)
            | Self::OutOfMemory
            | Self::Signal(_)
            | Self::Code(_)
            | Self::Protocol(_)
            | Self::NotStarted(_) => true,
        }
    }
}
