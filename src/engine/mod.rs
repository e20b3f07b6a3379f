//! The engine from outside: finding the binary, running one task in one process, reading how it ended.
//!
//! It confines itself before it loads anything of the user's; [`Confinement`] is what this side says about that, and [`probe`] asks
//! what the machine can do. The process is started in its scratch folder with a clean environment. It gets its task as a frame on standard
//! input, which stays open: when this program dies, the pipe closes and the engine exits. Whatever the engine does
//! (abort, fill memory, hang, send rubbish) ends as an [`Exit`], never as an error of this program.

mod about;
mod account;
mod binary;
mod confinement;
mod exit;
mod log;
mod memory;
mod outputs;
mod probe;
mod process;
mod scratch;
mod told;

pub use about::{About, about};
pub use account::{Account, Accounts};
pub use binary::{EngineBinary, EngineNotFound};
pub use confinement::Confinement;
pub use exit::{Exit, Retry};
pub use memory::of_this_machine as memory_of_this_machine;
pub use outputs::{check_outputs, forget_output, take_output};
pub use probe::{ProbeError, probe};
pub use process::{Finished, Run, run};
pub use scratch::Scratch;
pub use told::Told;
