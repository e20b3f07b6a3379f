//! The engine from outside: finding the binary, running one task in one process, reading how it ended.
//!
//! The process is started in its scratch folder with a clean environment. It gets its task as a frame on standard
//! input, which stays open: when this program dies, the pipe closes and the engine exits. Whatever the engine does
//! (abort, fill memory, hang, send rubbish) ends as an [`Exit`], never as an error of this program.

mod binary;
mod exit;
mod log;
mod process;
mod scratch;

pub use binary::{EngineBinary, EngineNotFound};
pub use exit::{Exit, Retry};
pub use process::{Finished, Run, run};
pub use scratch::{Scratch, check_outputs};
