//! What the calls of a program have to be given, and where it says something else.

use std::collections::HashMap;

use secateur_core::graph::{Literal, Node, Size};

use super::bridge::ffi::{ProgramPlace, Wanted, WantedKind};

/// The arguments that a program's calls have to have, held against those that they have.
#[derive(Default)]
pub(super) struct Guide {
    /// By the number of the call in a recording.
    calls: HashMap<usize, Node>,
    batch: i64,
    given: HashMap<(usize, usize), Literal>,
    pub(super) found: Vec<Found>,
}

/// An argument, or an element of one, that is not what it has to be.
pub(super) struct Found {
    pub place: ProgramPlace,
    /// The name of the node in the graph, its operator and the argument.
    pub node: String,
    pub op: String,
    pub argument: String,
    pub given: Literal,
    pub wanted: Literal,
}

impl Guide {
    /// `calls` are the numbers of the calls that the nodes are, in recordings of the program.
    pub(super) fn new(nodes: &[Node], calls: &[usize], batch: i64) -> Self {
        let calls = calls.iter().copied().zip(nodes.iter().cloned()).collect();
        Self { calls, batch, ..Self::default() }
    }

    /// What an argument has to be; called from C++ before every call that is recorded.
    pub(super) fn review(&mut self, call: usize, op: &str, argument: usize, literal: &str) -> Wanted {
        let same = || Wanted { differs: false, ..nothing(WantedKind::Other) };
        let Some(node) = self.calls.get(&call).filter(|node| node.op == op) else { return same() };
        let (Some(wanted), Ok(given)) = (node.args.get(argument), serde_json::from_str::<Literal>(literal)) else {
            return same();
        };
        let wanted = at_batch(&wanted.value, self.batch);
        if is_tensor_or_device(&wanted) || is_tensor_or_device(&given) || is_same(&given, &wanted) {
            return same();
        }
        let asked = match &wanted {
            Literal::None => nothing(WantedKind::None),
            Literal::Int(size) => Wanted { ints: vec![size.fixed], ..nothing(WantedKind::Int) },
            Literal::Float(value) => Wanted { floats: vec![*value], ..nothing(WantedKind::Float) },
            Literal::Floats(values) => Wanted { floats: values.clone(), ..nothing(WantedKind::Floats) },
            Literal::Ints(sizes) => {
                let elements = match &given {
                    Literal::Ints(given) if given.len() == sizes.len() => {
                        (0..sizes.len()).filter(|&index| given[index] != sizes[index]).collect()
                    }
                    _ => Vec::new(),
                };
                let ints = sizes.iter().map(|size| size.fixed).collect();
                Wanted { ints, elements, ..nothing(WantedKind::Ints) }
            }
            _ => nothing(WantedKind::Other),
        };
        self.given.insert((call, argument), given);
        asked
    }

    /// Where the program says what an argument is; called from C++ for each one that differs.
    pub(super) fn found(&mut self, call: usize, argument: usize, element: i64, place: ProgramPlace) {
        let (Some(node), Some(given)) = (self.calls.get(&call), self.given.get(&(call, argument))) else { return };
        let Some(wanted) = node.args.get(argument) else { return };
        let part = |literal: &Literal| match (literal, usize::try_from(element)) {
            (Literal::Ints(sizes), Ok(element)) => Literal::Int(sizes[element]),
            _ => literal.clone(),
        };
        self.found.push(Found {
            place,
            node: node.name.clone(),
            op: node.op.clone(),
            argument: wanted.name.clone(),
            given: part(given),
            wanted: part(&wanted.value),
        });
    }
}

fn nothing(kind: WantedKind) -> Wanted {
    Wanted { differs: true, kind, ints: Vec::new(), floats: Vec::new(), elements: Vec::new() }
}

fn at_batch(literal: &Literal, batch: i64) -> Literal {
    let fixed = |size: &Size| Size::fixed(size.at_batch(batch));
    match literal {
        Literal::Int(size) => Literal::Int(fixed(size)),
        Literal::Ints(sizes) => Literal::Ints(sizes.iter().map(fixed).collect()),
        other => other.clone(),
    }
}

fn is_tensor_or_device(literal: &Literal) -> bool {
    matches!(literal, Literal::Tensor(_) | Literal::Tensors(_) | Literal::Device(_))
}

/// Equal, NaN to itself.
pub(super) fn is_same(one: &Literal, other: &Literal) -> bool {
    match (one, other) {
        (Literal::Float(a), Literal::Float(b)) => a.to_bits() == b.to_bits(),
        (Literal::Floats(a), Literal::Floats(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        _ => one == other,
    }
}
