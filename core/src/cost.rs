//! Multiply-accumulates and parameters as products of dimension sizes, which are polynomials in the groups' widths.
//!
//! Every layer's cost is a product of at most a few dimension sizes. A size is linear in the widths of the groups that it
//! holds, or, where heads and head dimensions are merged, has products of two of them; so a candidate is costed
//! from its widths alone, without touching the graph. A test recounts the physically cut graph.

use std::collections::BTreeMap;

use crate::graph::{Graph, ParameterKind, ValueId};
use crate::group::{Grouping, Width};
use crate::operator;
use crate::report::Costs;
use crate::spec::Metric;

/// `coefficient` times the product of the widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub coefficient: u64,
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

    pub fn at(&self, widths: &[usize]) -> u64 {
        self.factors.iter().fold(self.coefficient, |product, factor| product * factor.at(widths))
    }
}

/// The costs of a graph as a function of its groups' widths.
#[derive(Debug, Clone)]
pub struct CostModel {
    /// Node index and multiply-accumulates of one sample; an attention has two products.
    macs: Vec<(usize, Product)>,
    /// Parameter index and its elements.
    params: Vec<(usize, Product)>,
    full_widths: Vec<usize>,
}

impl CostModel {
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
            .enumerate()
            .filter(|(_, parameter)| parameter.kind == ParameterKind::Parameter && parameter.tied_to.is_none())
            .map(|(index, parameter)| {
                let rank = graph.value(parameter.value).shape.len();
                (index, product(1, (0..rank).map(|axis| (parameter.value, axis)).collect()))
            })
            .collect();
        let full_widths = grouping.groups().iter().map(|group| group.channels()).collect();
        Self { macs, params, full_widths }
    }

    /// Costs at these widths, one per group.
    pub fn at(&self, widths: &[usize]) -> Costs {
        Costs {
            macs: self.macs.iter().map(|(_, product)| product.at(widths)).sum(),
            params: self.params.iter().map(|(_, product)| product.at(widths)).sum(),
            channels: widths.iter().map(|&width| width as u64).sum(),
        }
    }

    /// The products whose sum is a metric's value.
    pub fn products(&self, metric: Metric) -> Vec<Product> {
        match metric {
            Metric::Flops => self.macs.iter().map(|(_, product)| product.clone()).collect(),
            Metric::Params => self.params.iter().map(|(_, product)| product.clone()).collect(),
            Metric::Channels => (0..self.full_widths.len())
                .map(|group| Product { coefficient: 1, factors: vec![Width::of_group(group)] })
                .collect(),
        }
    }

    /// Costs of the uncut network.
    pub fn full(&self) -> Costs {
        self.at(&self.full_widths)
    }

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

    /// Parameter index and elements at these widths.
    pub fn params_by_parameter(&self, widths: &[usize]) -> Vec<(usize, u64)> {
        self.params.iter().map(|(parameter, product)| (*parameter, product.at(widths))).collect()
    }
}

/// The share removed of a metric.
pub fn reduction(metric: Metric, base: Costs, pruned: Costs) -> f64 {
    let (before, after) = match metric {
        Metric::Flops => (base.macs, pruned.macs),
        Metric::Params => (base.params, pruned.params),
        Metric::Channels => (base.channels, pruned.channels),
    };
    if before == 0 { 0.0 } else { 1.0 - after as f64 / before as f64 }
}
