//! Where a search stands, so that an interrupted one goes on.

use serde::{Deserialize, Serialize};

use super::space::{Levels, Space};
use super::top::Scored;

/// An unfinished search: blocks before `next` are done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SearchState {
    /// Index of the first block that is not done.
    pub next: u64,
    /// Candidates of those blocks that were scored; a draw that misses the band is none.
    #[serde(default)]
    pub scored: u64,
    /// The best candidates so far.
    pub best: Vec<Scored>,
    /// `None` until the walk is over and [`refine`] has begun.
    #[serde(default)]
    pub refinement: Option<Refinement>,
}

impl SearchState {
    /// Whether every point is one of the space; what was read from a file may be anything.
    pub fn fits(&self, space: &Space<'_>) -> bool {
        let fits = |levels: &Levels| {
            levels.len() == space.groups()
                && levels.iter().enumerate().all(|(group, &level)| usize::from(level) < space.widths(group).len())
        };
        self.best.iter().all(|scored| fits(&scored.levels))
    }
}

/// How far [`refine`] is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Refinement {
    /// Generations that are done.
    pub generations: u64,
    /// The walk's best score.
    pub score_before: f32,
}
