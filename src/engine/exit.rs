//! How an engine ended: one enum for everything that can become of a task.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::{Stage, TaskResult};

use crate::job::JobError;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGXCPU: i32 = 24;

/// What is known about memory when an engine died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutOfMemory {
    No,
    /// The kernel took a process while the engine ran.
    TakenByTheKernel,
    /// The engine said last that an allocation failed.
    FailedAllocation,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Exit {
    Done {
        result: TaskResult,
        /// What computed it.
        device: String,
        files: Vec<String>,
        /// Seconds that the stage computed, without the start of the engine.
        computing_s: f64,
    },
    /// The user can mend it.
    Rejected(Rejection),
    /// The engine says that it failed.
    Failed(String),
    /// Taken by the kernel for want of memory, or dead of an allocation that failed.
    OutOfMemory,
    /// Died of a signal, its own or somebody's.
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

/// Whether another attempt may end otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same again would end the same.
    Never,
    /// It may have been an accident, but the user's file is suspected.
    Once,
    /// An accident.
    AsUsual,
    /// Somebody outside ended it, which says nothing of the task.
    AsLost,
    /// Once there is room on the disk.
    WithRoom,
}

impl Exit {
    /// An end without an outcome. A task may use CPU time for as long as `timeout` on all of its threads.
    pub(super) fn without_outcome(status: ExitStatus, timeout: Duration, memory: OutOfMemory) -> Self {
        match (status.signal(), status.code(), memory) {
            (Some(SIGXCPU), _, _) => Self::TimedOut(timeout),
            (Some(SIGKILL), _, OutOfMemory::TakenByTheKernel) => Self::OutOfMemory,
            (Some(SIGABRT), _, OutOfMemory::FailedAllocation) => Self::OutOfMemory,
            (Some(signal), _, _) => Self::Signal(signal),
            (None, code, _) => Self::Code(code.unwrap_or(-1)),
        }
    }

    /// The job's error, when this is the end of it; `None` for [`Exit::Done`] and [`Exit::Stopped`].
    pub fn error(&self, stage: Stage) -> Option<JobError> {
        match self {
            Self::Done { .. } | Self::Stopped => None,
            Self::Rejected(rejection) => Some(JobError::rejected(stage, rejection.clone())),
            Self::OutOfMemory => {
                let detail = format!("The engine ran out of memory in stage {}.", stage.as_str());
                Some(JobError::out_of_memory(stage, detail))
            }
            Self::TimedOut(limit) => {
                let detail = format!("A task of stage {} ran longer than {} seconds.", stage.as_str(), limit.as_secs());
                Some(JobError::timed_out(stage, detail))
            }
            Self::Failed(message) if tells_of_full_disk(message) => {
                let detail = format!("The engine found no room on its disk in stage {}: {message}", stage.as_str());
                Some(JobError::no_room(stage, detail))
            }
            Self::Failed(message) => {
                Some(JobError::internal(stage, format!("The engine failed in stage {}: {message}", stage.as_str())))
            }
            Self::Signal(signal) if is_crash(*signal) && reads_the_upload(stage) => {
                let detail = format!(
                    "The engine crashed (signal {signal}) while it read the model, as libtorch does on files that are damaged \
                     or nested too deeply."
                );
                let hint = "does the model load and run in PyTorch, from this file?";
                Some(JobError::rejected(stage, Rejection::new(Code::UnsupportedModel, detail).hint(hint)))
            }
            Self::Signal(SIGKILL) => {
                let detail = format!(
                    "The engine was killed from outside (signal {SIGKILL}) in stage {}, and not for want of memory.",
                    stage.as_str()
                );
                Some(JobError::internal(stage, detail))
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

    /// Whether another attempt at a task of `stage` may end otherwise.
    pub fn retry(&self, stage: Stage) -> Retry {
        match self {
            Self::Done { .. } | Self::Rejected(_) | Self::TimedOut(_) | Self::Stopped => Retry::Never,
            Self::Signal(signal) if is_crash(*signal) && reads_the_upload(stage) => Retry::Once,
            // The kernel's own kills for want of memory are told apart: this was somebody outside.
            Self::Signal(SIGKILL | SIGTERM) => Retry::AsLost,
            Self::Failed(message) if tells_of_full_disk(message) => Retry::WithRoom,
            Self::Failed(_)
            | Self::OutOfMemory
            | Self::Signal(_)
            | Self::Code(_)
            | Self::Protocol(_)
            | Self::NotStarted(_) => Retry::AsUsual,
        }
    }
}

/// Whether a write failed for want of room, as the system words it. A model that raises the same words is tried some times more for it.
fn tells_of_full_disk(message: &str) -> bool {
    message.contains("No space left on device")
}

/// Whether a process dies of this signal by what it does itself.
fn is_crash(signal: i32) -> bool {
    const ILLEGAL_INSTRUCTION: i32 = 4;
    const ABORT: i32 = 6;
    const BUS: i32 = 7;
    const ARITHMETIC: i32 = 8;
    const SEGMENTATION: i32 = 11;
    matches!(signal, ILLEGAL_INSTRUCTION | ABORT | BUS | ARITHMETIC | SEGMENTATION)
}

/// The stages in which libtorch sees the user's file.
fn reads_the_upload(stage: Stage) -> bool {
    matches!(stage, Stage::Inspect | Stage::Import)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_laid_at_the_files_door_only_where_the_file_is_read() {
        let verdict = |exit: Exit, stage| (exit.error(stage).unwrap().code, exit.retry(stage));
        for stage in [Stage::Import, Stage::Inspect] {
            assert_eq!(verdict(Exit::Signal(11), stage), ("unsupported_model".to_owned(), Retry::Once));
        }
        for (exit, stage) in
            [(Exit::Signal(11), Stage::Search), (Exit::Signal(1), Stage::Import), (Exit::Code(3), Stage::Import)]
        {
            assert_eq!(verdict(exit, stage), ("internal".to_owned(), Retry::AsUsual));
        }
    }

    #[test]
    fn an_engine_that_somebody_kills_counts_as_lost() {
        assert_eq!(Exit::Signal(SIGKILL).retry(Stage::Import), Retry::AsLost);
        assert_eq!(Exit::Signal(SIGTERM).retry(Stage::Tune), Retry::AsLost);
        assert_eq!(Exit::OutOfMemory.retry(Stage::Tune), Retry::AsUsual);
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_engine() {
        let full = std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let exit = Exit::Failed(format!("weights could not be written: {full}"));
        let error = exit.error(Stage::Tune).unwrap();
        assert_eq!((error.code.as_str(), exit.retry(Stage::Tune)), ("storage_full", Retry::WithRoom));
    }

    fn died_of(signal: i32, memory: OutOfMemory) -> Exit {
        Exit::without_outcome(ExitStatus::from_raw(signal), Duration::from_secs(7), memory)
    }

    #[test]
    fn a_death_is_want_of_memory_only_with_evidence_of_its_own_kind() {
        assert_eq!(died_of(SIGKILL, OutOfMemory::No), Exit::Signal(SIGKILL));
        assert_eq!(died_of(SIGKILL, OutOfMemory::FailedAllocation), Exit::Signal(SIGKILL));
        assert_eq!(died_of(SIGKILL, OutOfMemory::TakenByTheKernel), Exit::OutOfMemory);
        assert_eq!(died_of(SIGABRT, OutOfMemory::TakenByTheKernel), Exit::Signal(SIGABRT));
        assert_eq!(died_of(SIGABRT, OutOfMemory::FailedAllocation), Exit::OutOfMemory);
    }

    #[test]
    fn an_engine_that_used_up_its_cpu_time_ran_too_long() {
        assert_eq!(died_of(SIGXCPU, OutOfMemory::No), Exit::TimedOut(Duration::from_secs(7)));
    }
}
