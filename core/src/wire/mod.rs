//! The protocol between worker and engine: one request, then frames of progress, log lines and one outcome.
//!
//! The worker starts an engine in a folder that holds the task's input files, writes a [`TaskRequest`] to its standard input and
//! reads [`EngineMessage`]s from its standard output. Both are frames of JSON ([`write_frame`]).

mod frame;
mod message;
mod request;

pub use frame::{MAX_FRAME, read_frame, write_frame};
pub use message::{Computed, EngineMessage, Outcome, Progress, Reading};
pub use request::{Device, TaskRequest};

/// Version of this protocol; an engine refuses every other.
pub const PROTOCOL: u32 = 7;

/// The file that an earlier attempt at the same task left in its folder; there only when it left something. Nobody but the engine
/// reads it.
pub const CHECKPOINT: &str = "checkpoint";
