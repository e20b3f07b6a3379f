//! Multiply-accumulates, parameters and latency as products of dimension sizes, which are polynomials in the groups' widths.
//!
//! Every layer's cost is a product of at most a few dimension sizes. A size is linear in the widths of the groups that it
//! holds, or, where heads and head dimensions are merged, has products of two of them; so a candidate is costed
//! from its widths alone, without touching the graph. A test recounts the physically cut graph.

mod costs;
mod metric;
mod term;

use std::collections::BTreeMap;

use crate::graph::{Graph, ParameterKind, ValueId};
use crate::group::{Grouping, Width};
use crate::operator;

pub use costs::{Costs, reduction};
pub use metric::Metric;
pub use term::{Factor, Term};

/// `coefficient` times the product of the widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The constant factor.
    pub coefficient: u64,
    /// The widths that are multiplied.
    pub factors: Vec<Width>,
}

impl Product {
    /// Factors that no group changes go into the coefficient.
    fn new(coefficient: u64, sizes: impl IntoIterator<Item = Width>) -> Self {
        let mut product = Self { coefficient, factors: Vec::new() };
        for size in sizes {
            if size.terms.is_empty() {
                product.coefficient *= size.constant;
            } else {
                product.factors.push(size);
            }
        }
        product
    }

    /// Value at these widths, one per group.
    pub fn at(&self, widths: &[usize]) -> u64 {
        self.factors.iter().fold(self.coefficient, |product, factor| product * factor.at(widths))
    }
}

/// The costs of a graph as a function of its groups' widths.
#[derive(Debug, Clone)]
pub struct CostModel {
    /// Node index and multiply-accumulates of one sample; an attention has two products.
    macs: Vec<(usize, Product)>,
    /// The elements of each parameter, tied ones once.
    params: Vec<Product>,
    /// Milliseconds of one forward pass, once they have been measured: of the uncut network, and the model of others.
    latency: Option<(f64, Vec<Term>)>,
    full_widths: Vec<usize>,
}

impl CostModel {
    /// The cost model of a graph, without latency.
    pub fn of(graph: &Graph, grouping: &Grouping) -> Self {
        let product = |coefficient, dims: Vec<(ValueId, usize)>| {
            Product::new(coefficient, dims.into_iter().map(|(value, axis)| grouping.width(graph, value, axis)))
        };
        let macs = graph
            .nodes()
            .iter()
            .enumerate()
            .flat_map(|(index, node)| {
                let macs = operator::of(node).map(|operator| operator.macs(node, graph)).unwrap_or_default();
                macs.into_iter().map(move |macs| (index, macs))
            })
            .map(|(index, macs)| (index, product(macs.coefficient, macs.dims)))
            .collect();
        let params = graph
            .parameters()
            .iter()
            .filter(|parameter| parameter.kind == ParameterKind::Parameter && parameter.tied_to.is_none())
            .map(|parameter| {
                let rank = graph.value(parameter.value).shape.len();
                product(1, (0..rank).map(|axis| (parameter.value, axis)).collect())
            })
            .collect();
        let full_widths = grouping.groups().iter().map(|group| group.channels()).collect();
        Self { macs, params, latency: None, full_widths }
    }

    /// The same with milliseconds of one forward pass: `base_ms` as measured of the uncut network, and the sum of `terms`
    /// for every other; see [`crate::latency`].
    #[must_use]
    pub fn with_latency(self, base_ms: f64, terms: Vec<Term>) -> Self {
        Self { latency: Some((base_ms, terms)), ..self }
    }

    /// Costs at these widths, one per group.
    pub fn at(&self, widths: &[usize]) -> Costs {
        Costs {
            macs: self.macs.iter().map(|(_, product)| product.at(widths)).sum(),
            params: self.params.iter().map(|product| product.at(widths)).sum(),
            channels: widths.iter().map(|&width| width as u64).sum(),
            latency_ms: self.latency.as_ref().map(|(_, terms)| {
                let widths: Vec<f64> = widths.iter().map(|&width| width as f64).collect();
                terms.iter().map(|term| term.at(&widths)).sum()
            }),
        }
    }

    /// The products whose sum is a metric's value; none for a latency that was not measured.
    pub fn terms(&self, metric: Metric) -> Vec<Term> {
        match metric {
            Metric::Flops => self.macs.iter().map(|(_, product)| product.into()).collect(),
            Metric::Params => self.params.iter().map(Term::from).collect(),
            Metric::Channels => (0..self.full_widths.len())
                .map(|group| Term { coefficient: 1.0, factors: vec![Factor::of_group(group)] })
                .collect(),
            Metric::Latency => self.latency.as_ref().map(|(_, terms)| terms.clone()).unwrap_or_default(),
        }
    }

    /// Costs of the uncut network, its latency as measured.
    pub fn full(&self) -> Costs {
        let latency_ms = self.latency.as_ref().map(|&(base_ms, _)| base_ms);
        Costs { latency_ms, ..self.at(&self.full_widths) }
    }

    /// Channels of every group in the uncut network.
    pub fn full_widths(&self) -> &[usize] {
        &self.full_widths
    }

    /// Node index and multiply-accumulates at these widths, for every node that has any.
    pub fn macs_by_node(&self, widths: &[usize]) -> BTreeMap<usize, u64> {
        let mut by_node = BTreeMap::new();
        for (node, product) in &self.macs {
            *by_node.entry(*node).or_default() += product.at(widths);
        }
        by_node
    }
}
