//! The only code that links libtorch: one process per task, which knows nothing but its folder.
//!
//! `main` reads a [`secateur_core::task::TaskRequest`] from standard input, [`stage`] carries it out and [`messages`] tells the
//! worker. [`torch`] is the one door to libtorch's C++: import of a TorchScript archive into a graph, an interpreter that
//! runs a graph, and export back to TorchScript. Everything between works on [`network`]s, a graph with its tensors: [`cut`]
//! makes one smaller, [`oracle`] proves the surgery, [`recalibrate`] and [`fine_tune`] repair it, [`evaluate`] and [`latency`]
//! measure it, [`taylor`] and [`distortion`] measure what its channels matter. [`scoring`] is the search's scoring on a GPU. [`sandbox`] is what the
//! process gives up before all of that.

pub mod checkpoint;
pub mod cut;
pub mod data;
pub mod deadline;
pub mod difference;
pub mod distortion;
pub mod encoder;
pub mod error;
pub mod evaluate;
pub mod fault;
pub mod fine_tune;
pub mod guard;
pub mod latency;
pub mod messages;
pub mod network;
pub mod oracle;
pub mod recalibrate;
pub mod sandbox;
pub mod scoring;
pub mod stage;
pub mod taylor;
pub mod torch;
pub mod weights;
