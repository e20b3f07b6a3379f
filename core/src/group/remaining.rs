//! What a configuration leaves of the elements.

use super::axes::Dim;
use super::build::Grouping;
use super::element::Element;
use crate::graph::ValueId;

/// Which elements remain when every group keeps the given channels.
#[derive(Debug)]
pub struct Remaining<'a> {
    grouping: &'a Grouping,
    /// For each group, by channel.
    kept: Vec<Vec<bool>>,
}

impl<'a> Remaining<'a> {
    /// `keep` lists channels that the groups have, for each group.
    pub fn new(grouping: &'a Grouping, keep: &[Vec<u32>]) -> Self {
        let kept = grouping.groups().iter().zip(keep).map(|(group, keep)| {
            let mut kept = vec![false; group.channels()];
            for &channel in keep {
                kept[channel as usize] = true;
            }
            kept
        });
        Self { grouping, kept: kept.collect() }
    }

    /// An element remains while all its channels do; frozen ones always remain.
    pub fn contains(&self, element: Element) -> bool {
        self.grouping.places(element).iter().all(|&(group, channel)| self.kept[group][channel])
    }

    /// The remaining indices of a dimension, ascending, of one sample when it grows with the batch; `None` for one that cannot
    /// be cut.
    pub fn indices(&self, value: ValueId, dim: usize) -> Option<Vec<u32>> {
        match &self.grouping.axes().dims(value)[dim] {
            Dim::Fixed(_) => None,
            Dim::Channels(elements) => {
                let kept = (0..).zip(elements.iter()).filter(|&(_, &element)| self.contains(element));
                Some(kept.map(|(index, _)| index).collect())
            }
        }
    }
}
