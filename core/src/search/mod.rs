//! The search of SACP: millions of configurations scored exactly, the best kept.
//!
//! [`space`] turns limits into levels per group, [`layer`] is the network as the encoder sees it, [`encoder`] holds the trained
//! GCN, [`ranking`] scores one candidate from its levels alone, [`walk`] is the first phase, [`top`] keeps the best, and
//! [`refine`] goes on from them by evolutionary moves; [`device`] is the walk with a GPU. [`proposal`] puts them together.
//!
//! The candidates of the walk are numbered blocks, each drawn from (seed, block number), so that any thread may take any block, an
//! interrupted search goes on with the next, and the result depends on neither. Memory does not grow with the
//! number of candidates.

pub mod device;
pub mod encoder;
pub mod layer;
pub mod proposal;
pub mod ranking;
pub mod refine;
mod report;
pub mod space;
mod state;
mod threads;
pub mod top;
pub mod walk;

pub use report::{RefinementReport, SearchReport};
pub use state::{Refinement, SearchState};

#[cfg(test)]
mod tests;
