//! What travels between a worker and the engine: one [`TaskRequest`] in, [`EngineMessage`]s out, as frames.
//!
//! A frame is a little-endian `u32` length and that many bytes of JSON. The worker writes the request to the engine's
//! standard input and keeps it open: when it closes, the engine exits, so no engine outlives its worker. The engine
//! sends frames on the descriptor that was its standard output (it moves that away first, since libtorch programs may
//! print), any number of progress, log and checkpoint frames and then exactly one outcome. Inputs and outputs are files with
//! the names in [`mod@file`], in the folder that is the engine's working directory.

pub mod file;
mod frame;
mod history;
mod message;
mod request;
mod result;

pub use frame::{MAX_FRAME, read_frame, write_frame};
pub use history::{History, measured};
pub use message::{EngineMessage, Outcome, Progress};
pub use request::{Device, TaskRequest, Work};
pub use result::{
    CalibrationResult, CandidateCosts, Computed, EncoderResult, ExportResult, GraphResult, ImportResult,
    ImportanceResult, InspectResult, LatencyResult, Rated, RungResult, Score, ScreenResult, Screened, SearchResult,
    SensitivityResult, TaskResult, TuneResult, VerifyResult,
};

/// Version of this protocol; an engine refuses every other.
pub const PROTOCOL: u32 = 4;
