//! The element-level dimension analysis; see the module above.

use std::collections::HashSet;
use std::rc::Rc;

use super::element::{Element, Elements};
use crate::graph::{Graph, Node, ValueId};
use crate::operator;

/// Why something cannot be cut, in words for the user; an index into [`Axes::reasons`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u32);

impl Reason {
    /// Batch and spatial dimensions: not channels at all, and no news to anybody.
    pub const NOT_A_CHANNEL: Self = Self(0);
    /// Two tensors that must be cut alike divide the same indices differently.
    pub const MORE_CONDITIONS: Self = Self(1);
    /// Two groups share a merged dimension, but not all combinations of their channels occur there.
    pub const INCOMPLETE: Self = Self(2);

    pub fn is_news(self) -> bool {
        self != Self::NOT_A_CHANNEL
    }
}

/// One dimension of a value.
#[derive(Debug, Clone)]
pub enum Dim {
    /// Cannot be cut.
    Fixed(Reason),
    /// The element at each index; for a dimension that grows with the batch, of one sample, repeated for each.
    Channels(Rc<[Element]>),
}

/// A dimension that a view took apart into several: the atoms at the indices of each.
#[derive(Debug)]
pub struct Split {
    pub factors: Vec<Vec<Element>>,
}

/// A sum over a dimension of two operands: zeroing the removed indices of one of them must not change what the cut network
/// computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contraction {
    /// The node, by its first output.
    pub result: ValueId,
    pub operand: ValueId,
    pub axis: usize,
}

/// The analysis of a whole graph.
#[derive(Debug)]
pub struct Axes {
    /// For each value, its dimensions.
    dims: Vec<Vec<Dim>>,
    elements: Elements,
    /// Elements of weights over which an operator sums: the input columns of consumers.
    contracted: HashSet<Element>,
    contractions: Vec<Contraction>,
    splits: Vec<Split>,
    /// Elements that a product of two activations tells apart: heads, and what is summed inside each.
    attended: Vec<Element>,
    reasons: Vec<String>,
    /// Nodes whose operator has no rule or could not apply it, with the reason.
    blocked: Vec<(usize, Reason)>,
}

impl Axes {
    /// Runs every node's rule in program order, then freezes what the model returns.
    pub fn analyse(graph: &Graph) -> Self {
        let mut axes = Self {
            dims: vec![Vec::new(); graph.values().len()],
            elements: Elements::default(),
            contracted: HashSet::new(),
            contractions: Vec::new(),
            splits: Vec::new(),
            attended: Vec::new(),
            reasons: vec![
                "it is no channel dimension".to_owned(),
                "tensors that must be cut alike divide it differently".to_owned(),
                "it shares a merged dimension with channels that it meets in some combinations only".to_owned(),
            ],
            blocked: Vec::new(),
        };
        for (index, &input) in graph.inputs().iter().enumerate() {
            let reason = axes.reason(format!("it meets input {index} of the model, whose shape is the caller's"));
            axes.dims[input.index()] = vec![Dim::Fixed(reason); graph.value(input).shape.len()];
        }
        for parameter in graph.parameters().iter().filter(|parameter| parameter.tied_to.is_none()) {
            let shape = &graph.value(parameter.value).shape;
            axes.dims[parameter.value.index()] = shape.iter().map(|size| axes.fresh(size.fixed as usize)).collect();
        }
        for (index, node) in graph.nodes().iter().enumerate() {
            axes.visit(graph, index, node);
        }
        for value in graph.output().tensors() {
            let reason = axes.reason("the model returns it".to_owned());
            axes.freeze_value(value, reason);
        }
        axes.settle_splits();
        axes
    }

    /// Where no attention tells the parts of a dimension apart, only the widest of them stays prunable: a channel
    /// shuffle loses the same positions in each of its groups, not whole groups.
    fn settle_splits(&mut self) {
        let attended: HashSet<Element> =
            self.attended.iter().flat_map(|&element| self.elements.atoms(element)).collect();
        for split in std::mem::take(&mut self.splits) {
            let classes: Vec<HashSet<Element>> = split
                .factors
                .iter()
                .map(|factor| factor.iter().flat_map(|&element| self.elements.atoms(element)).collect())
                .collect();
            if classes.iter().any(|factor| !factor.is_disjoint(&attended)) {
                continue;
            }
            let free = |factor: &HashSet<Element>| factor.iter().filter(|&&atom| self.frozen(atom).is_none()).count();
            let widest = (0..classes.len()).rev().max_by_key(|&factor| free(&classes[factor]));
            for (_, factor) in split.factors.iter().enumerate().filter(|(factor, _)| Some(*factor) != widest) {
                factor.iter().for_each(|&element| self.elements.freeze(element, Reason::NOT_A_CHANNEL));
            }
        }
    }

    fn visit(&mut self, graph: &Graph, index: usize, node: &Node) {
        let outcome = match operator::of(node) {
            Some(operator) => operator.axes(node, graph, self),
            None => Err(format!("the operator {} has no channel rule", node.op)),
        };
        let Err(text) = outcome else {
            debug_assert!(
                node.outputs.iter().all(|&output| self.dims(output).len() == graph.value(output).shape.len()),
                "the rule of {} sets every dimension of its outputs",
                node.op
            );
            return;
        };
        let reason = self.reason(format!("at node `{}`: {text}", node.name));
        self.blocked.push((index, reason));
        for value in node.inputs() {
            self.freeze_value(value, reason);
        }
        for &output in &node.outputs {
            self.dims[output.index()] = vec![Dim::Fixed(reason); graph.value(output).shape.len()];
        }
    }

    /// The dimensions of a value that an earlier node produced.
    pub fn dims(&self, value: ValueId) -> &[Dim] {
        &self.dims[value.index()]
    }

    pub fn set(&mut self, value: ValueId, dims: Vec<Dim>) {
        self.dims[value.index()] = dims;
    }

    /// The atoms of an element, by class; it is kept exactly while all of them are.
    pub fn atoms(&self, element: Element) -> Vec<Element> {
        self.elements.atoms(element)
    }

    /// The same into a list that may hold others already; none is listed twice.
    pub fn collect_atoms(&self, element: Element, atoms: &mut Vec<Element>) {
        self.elements.collect(element, atoms);
    }

    pub fn class(&self, element: Element) -> Element {
        self.elements.class(element)
    }

    /// The dimension, by some number, for which an atom's class was made: heads and head dimensions that cut the same
    /// axes by equal counts are told apart by it.
    pub fn origin(&self, class: Element) -> u32 {
        self.elements.origin(class)
    }

    /// Elements of all dimensions: they are numbered from zero.
    pub fn element_count(&self) -> usize {
        self.elements.len()
    }

    /// Why an element is always kept.
    pub fn frozen(&self, element: Element) -> Option<Reason> {
        self.elements.frozen(element)
    }

    pub fn is_contracted(&self, element: Element) -> bool {
        self.contracted.contains(&element)
    }

    /// The sums over a dimension of two operands, in program order.
    pub fn contractions(&self) -> &[Contraction] {
        &self.contractions
    }

    pub fn text(&self, reason: Reason) -> &str {
        &self.reasons[reason.0 as usize]
    }

    /// Nodes that no rule covers, with the reason.
    pub fn blocked(&self) -> &[(usize, Reason)] {
        &self.blocked
    }

    pub fn reason(&mut self, text: String) -> Reason {
        self.reasons.push(text);
        Reason(self.reasons.len() as u32 - 1)
    }

    /// A dimension of new elements, each a class of its own.
    pub fn fresh(&mut self, size: usize) -> Dim {
        Dim::Channels(self.elements.dimension(size))
    }

    /// An element that is kept exactly while all of these are; there must be one at least.
    pub fn conjunction(&mut self, of: &[Element]) -> Element {
        self.elements.conjunction(of)
    }

    /// Remembers that a view took a dimension apart.
    pub fn split(&mut self, split: Split) {
        self.splits.push(split);
    }

    /// Marks a dimension by which a product of two activations pairs or sums: it is worth pruning by itself.
    pub fn attend(&mut self, dim: &Dim) {
        if let Dim::Channels(elements) = dim {
            self.attended.extend(elements.iter());
        }
    }

    /// Marks the summed-over dimension of an operand.
    pub fn sum_over(&mut self, contraction: Contraction) {
        self.contractions.push(contraction);
    }

    /// The elements of a dimension of `size`; those of a fixed one are new and frozen.
    pub fn elements(&mut self, dim: &Dim, size: usize) -> Rc<[Element]> {
        match dim {
            Dim::Channels(elements) => Rc::clone(elements),
            Dim::Fixed(reason) => {
                let fresh = self.fresh(size);
                self.freeze(&fresh, *reason);
                let Dim::Channels(elements) = fresh else { unreachable!("fresh dimensions are channels") };
                elements
            }
        }
    }

    /// Makes two elements live and die together.
    pub fn unify_elements(&mut self, a: Element, b: Element) {
        self.elements.unify(a, b);
    }

    /// Makes two dimensions of equal size be cut together, index by index; the stricter of the two is returned.
    ///
    /// # Errors
    /// Two channel dimensions of different sizes; the text names both.
    pub fn unify(&mut self, a: &Dim, b: &Dim) -> Result<Dim, String> {
        match (a, b) {
            (Dim::Channels(left), Dim::Channels(right)) => {
                if left.len() != right.len() {
                    return Err(format!("dimensions of {} and {} channels meet", left.len(), right.len()));
                }
                for (&left, &right) in left.iter().zip(right.iter()) {
                    self.unify_elements(left, right);
                }
                Ok(a.clone())
            }
            (Dim::Channels(_), Dim::Fixed(reason)) => {
                self.freeze(a, *reason);
                Ok(a.clone())
            }
            (Dim::Fixed(reason), Dim::Channels(_)) => {
                self.freeze(b, *reason);
                Ok(b.clone())
            }
            (Dim::Fixed(left), Dim::Fixed(right)) => Ok(Dim::Fixed(if left.is_news() { *left } else { *right })),
        }
    }

    /// Marks the summed-over dimension of a weight: zeroing its removed indices must not change what the cut network computes.
    pub fn contract(&mut self, dim: &Dim) {
        if let Dim::Channels(elements) = dim {
            self.contracted.extend(elements.iter());
        }
    }

    pub fn freeze(&mut self, dim: &Dim, reason: Reason) {
        if let Dim::Channels(elements) = dim {
            elements.iter().for_each(|&element| self.elements.freeze(element, reason));
        }
    }

    pub fn freeze_value(&mut self, value: ValueId, reason: Reason) {
        for dim in self.dims[value.index()].clone() {
            self.freeze(&dim, reason);
        }
    }
}
