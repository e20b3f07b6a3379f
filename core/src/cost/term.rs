//! Products of sizes in floating point: what a search adds up, and what a latency table is fitted with.

use serde::{Deserialize, Serialize};

use super::Product;
use crate::group::Width;

/// `coefficient` times the factors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The constant factor.
    pub coefficient: f64,
    /// The sizes that are multiplied.
    pub factors: Vec<Factor>,
}

/// A size: `constant + Σ multiplicity · width`, and products of widths where dimensions are merged.
#[derive(Debug, Clone, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Factor {
    /// The part that no group's width changes.
    pub constant: f64,
    /// Group index and multiplicity, by group, ascending.
    pub linear: Vec<(usize, f64)>,
    /// Indices of the groups that multiply, and the multiplicity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<(Vec<usize>, f64)>,
}

impl Term {
    /// Value at these widths, one per group.
    pub fn at(&self, widths: &[f64]) -> f64 {
        self.factors.iter().fold(self.coefficient, |product, factor| product * factor.at(widths))
    }

    /// The groups that it depends on, ascending.
    pub fn groups(&self) -> Vec<usize> {
        let linear = self.factors.iter().flat_map(|factor| factor.linear.iter().map(|&(group, _)| group));
        let products = self.factors.iter().flat_map(|factor| factor.products.iter().flat_map(|(groups, _)| groups));
        let mut groups: Vec<usize> = linear.chain(products.copied()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

impl Factor {
    /// The width of one group.
    pub fn of_group(group: usize) -> Self {
        Self { linear: vec![(group, 1.0)], ..Self::default() }
    }

    /// Whether no group's width changes the size.
    pub fn is_constant(&self) -> bool {
        self.linear.is_empty() && self.products.is_empty()
    }

    /// Size at these widths, one per group.
    pub fn at(&self, widths: &[f64]) -> f64 {
        let sum =
            self.linear.iter().fold(self.constant, |sum, &(group, multiplicity)| sum + multiplicity * widths[group]);
        self.products.iter().fold(sum, |sum, (groups, multiplicity)| {
            sum + groups.iter().fold(*multiplicity, |product, &group| product * widths[group])
        })
    }

    /// Adds `multiplicity` times the product of the groups' widths.
    pub fn add(&mut self, groups: &[usize], multiplicity: f64) {
        match groups {
            [] => self.constant += multiplicity,
            [group] => self.linear.push((*group, multiplicity)),
            _ => self.products.push((groups.to_vec(), multiplicity)),
        }
    }
}

impl From<&Width> for Factor {
    fn from(width: &Width) -> Self {
        let mut factor = Self { constant: width.constant as f64, ..Self::default() };
        for term in &width.terms {
            factor.add(&term.groups, term.multiplicity as f64);
        }
        factor
    }
}

impl From<&Product> for Term {
    fn from(product: &Product) -> Self {
        Self { coefficient: product.coefficient as f64, factors: product.factors.iter().map(Factor::from).collect() }
    }
}
