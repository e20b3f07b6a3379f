//! Coupled channel groups.
/// The coupled groups of a graph.
#[derive(Debug, Clone)]
pub struct Grouping;
