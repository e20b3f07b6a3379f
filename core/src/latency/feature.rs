//! What a node's time may depend on: products of dimension sizes.

use std::collections::BTreeMap;

use crate::axes::Dim;
use crate::cost::{Factor, Term};
use crate::graph::{Graph, Node, ValueId};
use crate::group::Grouping;
use crate::operator;

/// No node has more features beside its constant; a concatenation of many would.
const MOST: usize = 4;

/// A node's multiply-accumulates, elements written and elements read, in this order; those that no group changes and
/// multiples of earlier ones left out. Each is scaled to 1 at full width.
pub(super) fn of(graph: &Graph, grouping: &Grouping, node: &Node) -> Vec<Term> {
    let all_dims = |value: ValueId| (0..graph.value(value).shape.len()).map(|axis| (value, axis)).collect::<Vec<_>>();
    let macs = operator::of(node).map(|operator| operator.macs(node, graph)).unwrap_or_default();
    let macs = macs.into_iter().map(|macs| macs.dims);
    let read = node.inputs().into_iter().filter(|&value| graph.as_parameter(value).is_none());
    let written = node.outputs.iter().copied();
    let products = macs.chain(written.chain(read).map(all_dims));

    let full: Vec<f64> = grouping.groups().iter().map(|group| group.channels() as f64).collect();
    let mut features: Vec<Term> = Vec::new();
    for dims in products {
        let forms = dims.into_iter().map(|(value, axis)| size(graph, grouping, value, axis));
        let mut factors: Vec<Factor> = forms.filter(|form| !form.is_constant()).map(canonical).collect();
        factors.sort_by(|a, b| a.partial_cmp(b).expect("sizes are finite"));
        if !factors.is_empty() && features.iter().all(|other| other.factors != factors) {
            let product = Term { coefficient: 1.0, factors };
            features.push(Term { coefficient: 1.0 / product.at(&full), ..product });
        }
    }
    features.truncate(MOST);
    features
}

/// Sizes that are multiples of each other become equal: the first multiplicity is 1.
fn canonical(size: Factor) -> Factor {
    let first = size.linear.first().map(|&(_, multiplicity)| multiplicity);
    let scale = first.or(size.products.first().map(|&(_, multiplicity)| multiplicity)).unwrap_or(1.0);
    Factor {
        constant: size.constant / scale,
        linear: size.linear.into_iter().map(|(group, multiplicity)| (group, multiplicity / scale)).collect(),
        products: size.products.into_iter().map(|(groups, multiplicity)| (groups, multiplicity / scale)).collect(),
    }
}

/// The size of a dimension of any value. A slice may hold some channels of a group only; it then gets the group's share of
/// its elements, which is what the size is on average.
fn size(graph: &Graph, grouping: &Grouping, value: ValueId, axis: usize) -> Factor {
    let mut size = Factor::default();
    match &grouping.axes().dims(value)[axis] {
        Dim::Fixed(_) => size.constant = graph.value(value).shape[axis].at_batch(1) as f64,
        Dim::Channels(elements) => {
            let mut counts = BTreeMap::<Vec<usize>, usize>::new();
            for &element in elements.iter() {
                let groups = grouping.places(element).iter().map(|&(group, _)| group).collect();
                *counts.entry(groups).or_default() += 1;
            }
            let channels = |&group: &usize| grouping.groups()[group].channels() as f64;
            for (groups, count) in counts {
                size.add(&groups, count as f64 / groups.iter().map(channels).product::<f64>());
            }
        }
    }
    size
}
