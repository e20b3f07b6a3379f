//! Configurations: which channels of every coupled group remain.
//!
//! A [`Constraints`] is what the user forbids, [`Limits`] are the widths that it leaves each group, a [`Configuration`] is one
//! choice of channels, and a [`Candidate`] is a configuration that a job tries, with its costs and its [`Origin`].

mod candidate;
mod constraints;
mod limits;
mod origin;
mod replay;

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::group::{Group, Grouping};
use crate::importance::Importance;

pub use candidate::{Candidate, CandidateCosts};
pub use constraints::{Constraints, LayerLimit};
pub use limits::Limits;
pub use origin::Origin;
pub use replay::ReplayConfig;

/// Which channels of every group remain; the one thing that a search decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// For each group, in the order of [`crate::group::Grouping::groups`], the kept channels, ascending, never empty.
    pub keep: Vec<Vec<u32>>,
}

impl Configuration {
    /// Kept channels of each group.
    pub fn widths(&self) -> Vec<usize> {
        self.keep.iter().map(Vec::len).collect()
    }

    /// The most important channels at these widths.
    pub fn by_importance(importance: &Importance, widths: &[usize]) -> Self {
        let keep = widths.iter().enumerate().map(|(group, &width)| importance.most_important(group, width));
        Self { keep: keep.collect() }
    }

    /// Random channels at these widths.
    pub fn random(grouping: &Grouping, widths: &[usize], generator: &mut impl Rng) -> Self {
        let choose = |(group, &width): (&Group, &usize)| {
            let mut channels: Vec<u32> = (0..group.channels() as u32).collect();
            let (chosen, _) = channels.partial_shuffle(generator, width);
            chosen.sort_unstable();
            chosen.to_vec()
        };
        Self { keep: grouping.groups().iter().zip(widths).map(choose).collect() }
    }

    /// The replayable form, by group name.
    pub fn replay(&self, grouping: &Grouping) -> ReplayConfig {
        let groups = grouping.groups().iter().zip(&self.keep).map(|(group, keep)| (group.name.clone(), keep.clone()));
        ReplayConfig { format: ReplayConfig::FORMAT, groups: groups.collect() }
    }
}
