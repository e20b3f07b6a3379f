//! The only code that links libtorch: one process per task, which knows nothing but its folder.
//!
//! `main` reads a [`secateur_core::wire::TaskRequest`] from standard input, [`stage`] carries it out and [`process`] is what the
//! process says to its worker and gives up for its safety. [`torch`] is the one door to libtorch's C++: import of a TorchScript archive
//! into a graph, an interpreter that runs a graph, and export back to TorchScript. Everything between works on [`network`]s, a graph
//! with its tensors, and on a [`data`] set: [`proof`] compares networks, [`measure`] measures them, [`training`] trains them, and
//! [`encoder`] is the search's graph encoder.

pub mod data;
pub mod encoder;
pub mod error;
pub mod guard;
pub mod measure;
pub mod network;
pub mod output;
pub mod prepare;
pub mod process;
pub mod proof;
pub mod reconstruction;
pub mod stage;
pub mod supervision;
pub mod torch;
pub mod training;
