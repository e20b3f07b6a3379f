//! What a node's time may depend on: products of dimension sizes.

use crate::cost::{LinearForm, Term};
use crate::graph::{Graph, Node, ValueId};
use crate::group::{Dim, Grouping};
use crate::operator;

/// No node has more features beside its constant; a concatenation of many would.
const MOST: usize = 4;

/// A node's multiply-accumulates, elements written and elements read, in this order; those that no group changes and
/// multiples of earlier ones left out. Each is scaled to 1 at full width.
pub(super) fn of(graph: &Graph, grouping: &Grouping, node: &Node) -> Vec<Term> {
    let all_dims = |value: ValueId| (0..graph.value(value).shape.len()).map(|axis| (value, axis)).collect::<Vec<_>>();
    let macs = operator::of(node).and_then(|operator| operator.macs(node, graph)).map(|macs| macs.dims);
    let read = node.inputs().into_iter().filter(|&value| graph.as_parameter(value).is_none());
    let written = node.outputs.iter().copied();
    let products = macs.into_iter().chain(written.chain(read).map(all_dims));

    let full: Vec<f64> = grouping.groups().iter().map(|group| group.channels() as f64).collect();
    let mut features: Vec<Term> = Vec::new();
    for dims in products {
        let forms = dims.into_iter().map(|(value, axis)| linear_form(graph, grouping, value, axis));
        let mut factors: Vec<LinearForm> = forms.filter(|form| !form.terms.is_empty()).map(canonical).collect();
        factors.sort_by(|a, b| a.partial_cmp(b).expect("sizes are finite"));
        if !factors.is_empty() && features.iter().all(|other| other.factors != factors) {
            let product = Term { coefficient: 1.0, factors };
            features.push(Term { coefficient: 1.0 / product.at(&full), ..product });
        }
    }
    features.truncate(MOST);
    features
}

/// Forms that are multiples of each other become equal: the first multiplicity is 1.
fn canonical(form: LinearForm) -> LinearForm {
    let scale = form.terms[0].1;
    LinearForm {
        constant: form.constant / scale,
        terms: form.terms.into_iter().map(|(group, multiplicity)| (group, multiplicity / scale)).collect(),
    }
}

/// The size of a dimension of any value. A slice may hold some channels of a group only; it then gets the group's share of
/// its elements, which is what the size is on average.
fn linear_form(graph: &Graph, grouping: &Grouping, value: ValueId, axis: usize) -> LinearForm {
    let mut form = LinearForm::default();
    match &grouping.axes().dims(value)[axis] {
        Dim::Fixed(_) => form.constant = graph.value(value).shape[axis].at_batch(1) as f64,
        Dim::Channels(elements) => {
            let mut counts = std::collections::BTreeMap::<usize, usize>::new();
            for &element in elements.iter() {
                match grouping.place(element) {
                    Some((group, _)) => *counts.entry(group).or_default() += 1,
                    None => form.constant += 1.0,
                }
            }
            let multiplicity = |group: usize, count: usize| count as f64 / grouping.groups()[group].channels() as f64;
            form.terms = counts.into_iter().map(|(group, count)| (group, multiplicity(group, count))).collect();
        }
    }
    form
}
