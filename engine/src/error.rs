//! What can go wrong in a stage, and which of the two outcomes it becomes.
//!
//! [`Error::Rejected`] is for what the user can mend; everything else is our bug or the world's accident and ends the
//! task as failed. libtorch reports a failed allocation as any other exception, so that one is told apart by its text.

use std::io;
use std::path::{Path, PathBuf};

use secateur_core::graph::GraphError;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::wire::Outcome;

use crate::torch::{TorchError, brief, is_out_of_memory};

const LONGEST_LOGGED: usize = 8000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("graph.json: {0}")]
    Graph(#[from] GraphError),
    #[error("{0}")]
    Internal(String),
}

impl From<TorchError> for Error {
    fn from(error: TorchError) -> Self {
        match error {
            TorchError::Rejected(rejection) => Self::Rejected(rejection),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl Error {
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }

    /// For `map_err` on an operation on the file at `path`.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// Whether an allocation failed.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Rejected(rejection) => rejection.code == Code::OutOfMemory,
            other => is_out_of_memory(&other.to_string()),
        }
    }

    pub fn into_outcome(self) -> Outcome {
        match self {
            Self::Rejected(rejection) => Outcome::Rejected { rejection },
            other => failure(other.to_string()),
        }
    }
}

/// The outcome for an accident with this message: a rejection when memory ran out, else a failure. What a user is not told of
/// the message goes to standard error, which is the task's log.
pub fn failure(message: String) -> Outcome {
    let said = brief(&message);
    if said != message {
        let logged: String = message.chars().take(LONGEST_LOGGED).collect();
        eprintln!("the whole message: {logged}");
    }
    if is_out_of_memory(&message) {
        let rejection = Rejection::new(Code::OutOfMemory, format!("The task needs more memory than there is: {said}"))
            .hint("Set a smaller `fine_tune.batch_size`.");
        Outcome::Rejected { rejection }
    } else {
        Outcome::Failed { message: said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_allocation_is_told_apart_from_other_exceptions() {
        let message = "libtorch: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: \
                       you tried to allocate 4000000000000 bytes.";
        let Outcome::Rejected { rejection } = failure(message.to_owned()) else { panic!("it is a rejection") };
        assert_eq!(rejection.code, Code::OutOfMemory);
        assert!(matches!(failure("libtorch: shape mismatch".to_owned()), Outcome::Failed { .. }));
    }

    #[test]
    fn a_stack_trace_is_not_told() {
        let Outcome::Failed { message } = failure("libtorch: no\nframe #0: c10::Error at 0x7f".to_owned()) else {
            panic!()
        };
        assert_eq!(message, "libtorch: no");
    }
}
