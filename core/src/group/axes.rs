//! The element-level dimension analysis; see the module above.

use std::rc::Rc;

use crate::graph::{Graph, Node, ValueId};
use crate::operator;

/// One index of one dimension of one tensor.
pub type Element = u32;

/// Why something cannot be cut, in words for the user; an index into [`Axes::reasons`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u32);

impl Reason {
    /// Batch and spatial dimensions: not channels at all, and no news to anybody.
    pub const NOT_A_CHANNEL: Self = Self(0);

    pub fn is_news(self) -> bool {
        self != Self::NOT_A_CHANNEL
    }
}

/// One dimension of a value.
#[derive(Debug, Clone)]
pub enum Dim {
    /// Cannot be cut.
    Fixed(Reason),
    /// The element at each index.
    Channels(Rc<[Element]>),
}

/// The analysis of a whole graph.
#[derive(Debug)]
pub struct Axes {
    /// For each value, its dimensions.
    dims: Vec<Vec<Dim>>,
    /// Union-find over elements.
    parent: Vec<Element>,
    frozen: Vec<Option<Reason>>,
    /// Elements of weights over which an operator sums: the input columns of consumers.
    contracted: Vec<bool>,
    reasons: Vec<String>,
    /// Nodes whose operator has no rule or could not apply it, with the reason.
    blocked: Vec<(usize, Reason)>,
}

impl Axes {
    /// Runs every node's rule in program order, then freezes what the model returns.
    pub fn analyse(graph: &Graph) -> Self {
        let mut axes = Self {
            dims: vec![Vec::new(); graph.values().len()],
            parent: Vec::new(),
            frozen: Vec::new(),
            contracted: Vec::new(),
            reasons: vec!["it is no channel dimension".to_owned()],
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
        axes
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

    /// The class of an element, named by one of its elements.
    pub fn class(&self, element: Element) -> Element {
        let mut at = element;
        while self.parent[at as usize] != at {
            at = self.parent[at as usize];
        }
        at
    }

    /// Why the class of an element cannot be cut.
    pub fn frozen(&self, element: Element) -> Option<Reason> {
        self.frozen[self.class(element) as usize]
    }

    pub fn is_contracted(&self, element: Element) -> bool {
        self.contracted[element as usize]
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
        let first = self.parent.len() as Element;
        let elements: Rc<[Element]> = (first..first + size as Element).collect();
        self.parent.extend(elements.iter());
        self.frozen.resize(self.parent.len(), None);
        self.contracted.resize(self.parent.len(), false);
        Dim::Channels(elements)
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
        let (a, b) = (self.compress(a), self.compress(b));
        if a == b {
            return;
        }
        let (root, child) = if a < b { (a, b) } else { (b, a) };
        self.parent[child as usize] = root;
        let reason = self.frozen[root as usize].or(self.frozen[child as usize]);
        self.frozen[root as usize] = reason;
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
            for &element in elements.iter() {
                self.contracted[element as usize] = true;
            }
        }
    }

    pub fn freeze(&mut self, dim: &Dim, reason: Reason) {
        if let Dim::Channels(elements) = dim {
            for &element in elements.iter() {
                let class = self.compress(element) as usize;
                self.frozen[class].get_or_insert(reason);
            }
        }
    }

    pub fn freeze_value(&mut self, value: ValueId, reason: Reason) {
        for dim in self.dims[value.index()].clone() {
            self.freeze(&dim, reason);
        }
    }

    /// Like [`Self::class`], with path halving.
    fn compress(&mut self, element: Element) -> Element {
        let mut at = element;
        while self.parent[at as usize] != at {
            let grandparent = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = grandparent;
            at = grandparent;
        }
        at
    }
}
