//! What is known of the dimensions of a graph's tensors: which of their indices live or die together.
//!
//! An *element* is one index of one dimension of one tensor ([`element`]). [`Axes`] holds the elements of every dimension and has
//! the steps by which the rules of the operators relate them: unify, freeze, list anew.

mod element;
mod reason;
mod remaining;

pub use element::Element;
pub use reason::{Cause, Reason};
pub use remaining::Remaining;

use std::collections::HashSet;
use std::rc::Rc;

use crate::graph::ValueId;
use element::Elements;

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
    /// For each of the dimensions, the element at each of its indices.
    pub factors: Vec<Vec<Element>>,
}

/// A sum over a dimension of two operands: zeroing the removed indices of one of them must not change what the cut network
/// computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contraction {
    /// The node, by its first output.
    pub result: ValueId,
    /// The operand that can be read as zero at the removed indices.
    pub operand: ValueId,
    /// Its dimension that is summed over.
    pub axis: usize,
}

/// A node that no channel can pass: its operator has no rule, or one that does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The node's index in the graph.
    pub node: usize,
    /// The reason that what it touches is frozen with.
    pub reason: Reason,
    /// Why no rule applies, in words.
    pub why: String,
}

/// The relations between the dimensions of all tensors of a graph.
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
    /// By [`Reason`].
    causes: Vec<Cause>,
    blocked: Vec<Blocked>,
}

impl Axes {
    /// No relation yet between the dimensions of this many values.
    pub(crate) fn new(values: usize) -> Self {
        Self {
            dims: vec![Vec::new(); values],
            elements: Elements::default(),
            contracted: HashSet::new(),
            contractions: Vec::new(),
            splits: Vec::new(),
            attended: Vec::new(),
            causes: vec![Cause::NotAChannel, Cause::DividedDifferently, Cause::PartlyMerged],
            blocked: Vec::new(),
        }
    }

    /// The dimensions of a value that an earlier node produced.
    pub fn dims(&self, value: ValueId) -> &[Dim] {
        &self.dims[value.index()]
    }

    /// Says what the dimensions of an output are.
    pub fn set(&mut self, value: ValueId, dims: Vec<Dim>) {
        self.dims[value.index()] = dims;
    }

    /// The atoms of an element, by class; it is kept exactly while all of them are.
    pub fn atoms(&self, element: Element) -> Vec<Element> {
        self.elements.atoms(element)
    }

    /// Adds the atoms of an element to a list that may hold others already; none is listed twice.
    pub fn collect_atoms(&self, element: Element, atoms: &mut Vec<Element>) {
        self.elements.collect(element, atoms);
    }

    /// The class of an element, named by one of its elements: those that live or die together.
    pub fn class(&self, element: Element) -> Element {
        self.elements.class(element)
    }

    /// The dimension, by some number, for which an atom's class was made: heads and head dimensions that cut the same
    /// axes by equal counts are told apart by it.
    pub fn origin(&self, class: Element) -> u32 {
        self.elements.origin(class)
    }

    /// The number of elements of all dimensions, which are numbered from zero.
    pub fn element_count(&self) -> usize {
        self.elements.len()
    }

    /// Why an element is always kept.
    pub fn frozen(&self, element: Element) -> Option<Reason> {
        self.elements.frozen(element)
    }

    /// Whether an operator sums over this element of a weight: an input column of a consumer.
    pub fn is_contracted(&self, element: Element) -> bool {
        self.contracted.contains(&element)
    }

    /// The sums over a dimension of two operands, in program order.
    pub fn contractions(&self) -> &[Contraction] {
        &self.contractions
    }

    /// What a reason is the number of.
    pub fn cause(&self, reason: Reason) -> &Cause {
        &self.causes[reason.0 as usize]
    }

    /// Nodes that no rule covers, in program order.
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }

    /// Numbers a cause.
    pub fn reason(&mut self, cause: Cause) -> Reason {
        self.causes.push(cause);
        Reason(self.causes.len() as u32 - 1)
    }

    /// A dimension of new elements, each a class of its own.
    pub fn fresh(&mut self, size: usize) -> Dim {
        Dim::Channels(self.elements.dimension(size))
    }

    /// An element that is kept exactly while all of these are; there must be one at least.
    pub fn conjunction(&mut self, of: &[Element]) -> Element {
        self.elements.conjunction(of)
    }

    /// Remembers that the n-th node, of this name, has no rule, or one that does not apply for some reason.
    pub(crate) fn block(&mut self, node: usize, name: &str, why: String) -> Reason {
        let reason = self.reason(Cause::Blocked { node: name.to_owned(), why: why.clone() });
        self.blocked.push(Blocked { node, reason, why });
        reason
    }

    /// The elements that [`Self::attend`] marked.
    pub(crate) fn attended(&self) -> &[Element] {
        &self.attended
    }

    /// Takes the dimensions that views took apart.
    pub(crate) fn take_splits(&mut self) -> Vec<Split> {
        std::mem::take(&mut self.splits)
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

    /// Forbids to cut an element, for a reason.
    pub fn freeze_element(&mut self, element: Element, reason: Reason) {
        self.elements.freeze(element, reason);
    }

    /// Forbids to cut any index of a dimension, for a reason.
    pub fn freeze(&mut self, dim: &Dim, reason: Reason) {
        if let Dim::Channels(elements) = dim {
            elements.iter().for_each(|&element| self.freeze_element(element, reason));
        }
    }

    /// Forbids to cut any dimension of a value, for a reason.
    pub fn freeze_value(&mut self, value: ValueId, reason: Reason) {
        for dim in self.dims[value.index()].clone() {
            self.freeze(&dim, reason);
        }
    }
}
