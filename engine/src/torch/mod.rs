//! The one door to libtorch's C++: TorchScript in, a graph that runs, TorchScript out.
//!
//! [`import()`] turns a user's archive into a [`Graph`](secateur_core::graph::Graph) by evaluating it, [`Program`] runs a
//! graph, [`export()`] writes one as TorchScript and [`Reloaded`] runs such a file. The C++ behind it is in `cpp/`, declared
//! in `bridge.rs`; nothing else in the engine calls it. Tensors are tch's. Every failure is a [`TorchError`]: a rejection
//! where the user's model is at fault, else libtorch's message.

mod archive;
mod bridge;
mod dtype;
mod export;
mod finite;
mod guide;
mod import;
pub mod memory;
mod message;
mod methods;
mod module;
mod patch;
mod program;
mod recording;
pub mod runtime;
mod sizes;
mod source;

use secateur_core::graph::GraphError;
use secateur_core::rejection::Rejection;

pub use dtype::kind_of;
pub use export::export;
pub use finite::NotFinite;
pub use import::{Imported, import, import_with};
pub use message::{brief, is_out_of_memory};
pub use methods::arguments_of;
pub use module::{ModuleBuilder, Reloaded};
pub use patch::{inputs_left_out, lost_by_recording, methods as methods_of, patch};
pub use program::{Mode, Precision, Program, Statistics, Training};
pub use runtime::channels_last;
pub use sizes::parameters_read_at;

#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("libtorch: {0}")]
    Libtorch(String),
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
    #[error("the importer made a graph that is none: {0}")]
    Graph(#[from] GraphError),
}
