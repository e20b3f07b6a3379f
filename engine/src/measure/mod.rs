//! What is measured of a network: accuracy, latency, what its channels matter, and its batch norm statistics.

pub mod batch_norm;
pub mod distortion;
pub mod evaluate;
pub mod latency;
pub mod taylor;
