//! Sizes of dimensions as polynomials in the groups' widths.

/// Indices of a dimension that one combination of a channel of each of these groups takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Group indices, ascending, each once; one except in a merged dimension, as heads × head dimensions.
    pub groups: Vec<usize>,
    pub multiplicity: u64,
}

/// A dimension's size: `constant + Σ multiplicity · Π widths`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Width {
    pub constant: u64,
    /// By groups, ascending.
    pub terms: Vec<Term>,
}

impl Width {
    /// The width of one group.
    pub fn of_group(group: usize) -> Self {
        Self { constant: 0, terms: vec![Term { groups: vec![group], multiplicity: 1 }] }
    }

    pub fn at(&self, widths: &[usize]) -> u64 {
        self.constant + self.terms.iter().map(|term| term.at(widths)).sum::<u64>()
    }
}

impl Term {
    fn at(&self, widths: &[usize]) -> u64 {
        self.groups.iter().fold(self.multiplicity, |product, &group| product * widths[group] as u64)
    }
}
