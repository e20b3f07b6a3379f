//! The pruning domain in pure Rust.
//!
//! Data flows one way: an [`archive`] that passed pre-flight becomes a [`graph`] (in the engine), the
//! graph is partitioned into coupled channel [`group`]s by the [`operator`] rules, the [`cost`] model
//! and the [`importance`] of the channels turn a target into a [`candidate`], and [`surgery`] says which
//! indices of which tensor remain. [`stage`] orders these steps into a job, [`task`] is what travels to a worker
//! for each, [`spec`] is what the user asked for and [`report`] what the user gets.
//!
//! Nothing here links libtorch, talks HTTP or SQL, or needs an async runtime; the server and the engine share it.

pub mod archive;
pub mod candidate;
pub mod cost;
pub mod dataset;
pub mod graph;
pub mod group;
pub mod importance;
pub mod json;
pub mod latency;
pub mod layer;
pub mod measurement;
pub mod obstacle;
pub mod operator;
pub mod plain_text;
pub mod rejection;
pub mod report;
pub mod sandbox;
pub mod search;
pub mod spec;
pub mod stage;
pub mod statistics;
pub mod summary;
pub mod surgery;
pub mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
