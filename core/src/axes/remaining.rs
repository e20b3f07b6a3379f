//! What a configuration leaves of the elements.

use super::{Axes, Dim, Element};
use crate::graph::ValueId;

/// Which elements of an analysis remain after a cut.
#[derive(Debug)]
pub struct Remaining<'a> {
    axes: &'a Axes,
    /// For each element.
    remains: Vec<bool>,
}

impl<'a> Remaining<'a> {
    /// `remains` says of each element, by its number, whether it is kept.
    ///
    /// # Panics
    /// When there are more or fewer answers than elements.
    pub fn new(axes: &'a Axes, remains: Vec<bool>) -> Self {
        assert_eq!(remains.len(), axes.element_count(), "there is an answer for each element");
        Self { axes, remains }
    }

    /// Whether an element is kept.
    pub fn contains(&self, element: Element) -> bool {
        self.remains[element as usize]
    }

    /// The remaining indices of a dimension, ascending, of one sample when it grows with the batch; `None` for one that cannot
    /// be cut.
    pub fn indices(&self, value: ValueId, dim: usize) -> Option<Vec<u32>> {
        match &self.axes.dims(value)[dim] {
            Dim::Fixed(_) => None,
            Dim::Channels(elements) => {
                let kept = (0..).zip(elements.iter()).filter(|&(_, &element)| self.contains(element));
                Some(kept.map(|(index, _)| index).collect())
            }
        }
    }
}
