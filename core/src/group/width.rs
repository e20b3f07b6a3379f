//! Sizes of dimensions as polynomials in the groups' widths.

/// Indices of a dimension that one combination of a channel of each of these groups takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WidthTerm {
    /// Group indices, ascending, each once; one except in a merged dimension, as heads × head dimensions.
    pub groups: Vec<usize>,
    /// How many indices.
    pub multiplicity: u64,
}

/// A dimension's size: `constant + Σ multiplicity · Π widths`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Width {
    /// The indices that no group takes.
    pub constant: u64,
    /// The indices that groups take, by groups, ascending.
    pub terms: Vec<WidthTerm>,
}

impl Width {
    /// The width of one group.
    pub fn of_group(group: usize) -> Self {
        Self { constant: 0, terms: vec![WidthTerm { groups: vec![group], multiplicity: 1 }] }
    }

    /// The size when the groups have these widths.
    pub fn at(&self, widths: &[usize]) -> u64 {
        self.constant + self.terms.iter().map(|term| term.at(widths)).sum::<u64>()
    }
}

impl WidthTerm {
    fn at(&self, widths: &[usize]) -> u64 {
        self.groups.iter().fold(self.multiplicity, |product, &group| product * widths[group] as u64)
    }
}
