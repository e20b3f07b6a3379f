//! The pruning domain in pure Rust.
//!
//! Data flows one way: an [`archive`] that passed pre-flight becomes a [`graph`] (in the engine), the
//! graph is partitioned into coupled channel [`group`]s by the [`operator`] rules, the [`cost`] model
//! and the [`importance`] of the channels turn a target into a [`configuration`], by a [`method`]'s rule or by [`search`], and
//! [`surgery`] says which indices of which tensor remain. [`stage`] orders these steps into a job, [`wire`] is what travels to an
//! engine and back for each, [`spec`] is what the user asked for and [`report`] what the user gets.
//!
//! The modules are layers: each imports only what stands above it in the list of `tests/layers.rs`.
//!
//! Nothing here links libtorch, talks HTTP or SQL, or needs an async runtime; the server and the engine share it.

#![warn(missing_docs)]

pub mod archive;
pub mod axes;
pub mod configuration;
pub mod cost;
pub mod dataset;
pub mod digest;
pub mod graph;
pub mod group;
pub mod importance;
pub mod inspection;
pub mod json;
pub mod latency;
pub mod method;
pub mod number;
pub mod operator;
pub mod output;
pub mod plain_text;
pub mod recovery;
pub mod rejection;
pub mod report;
pub mod sandbox;
pub mod search;
pub mod spec;
pub mod stage;
pub mod statistics;
pub mod surgery;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod triton;
mod untrusted;
pub mod wire;
