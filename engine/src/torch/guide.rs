//! What the calls of a program have to be given, and where it says something else.

use std::collections::HashMap;

use secateur_core::graph::{Graph, Literal, Node, Parameter, Size};

use super::bridge::Reviewer;
use super::bridge::ffi::{ProgramPlace, Wanted, WantedKind};

/// The arguments that a program's calls have to have, held against those that they have.
#[derive(Default)]
pub(super) struct Wishes {
    /// By the number of the call in a recording.
    calls: HashMap<usize, Node>,
    batch: i64,
    given: HashMap<(usize, usize), Literal>,
    /// Names of the tensors that have other sizes than in the archive that was uploaded.
    cut: Vec<String>,
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
    /// The text that belongs there, when it is none of a literal.
    pub text: Option<String>,
}

impl Wishes {
    /// What `cut` wants of the program whose graph was `original`; `calls` are the numbers of the calls that the nodes are, in
    /// recordings of the program.
    pub(super) fn new(original: &Graph, cut: &Graph, calls: &[usize], batch: i64) -> Self {
        let calls = calls.iter().copied().zip(cut.nodes().iter().cloned()).collect();
        let shapes = |graph: &Graph, parameter: &Parameter| graph.value(parameter.value).shape.clone();
        let both = original.parameters().iter().zip(cut.parameters());
        let cut = both.filter(|(before, after)| shapes(original, before) != shapes(cut, after));
        let cut = cut.map(|(before, _)| before.name.clone()).collect();
        Self { calls, batch, cut, ..Self::default() }
    }
}

impl Reviewer for Wishes {
    fn review(&mut self, call: usize, op: &str, argument: usize, literal: &str) -> Wanted {
        let same = || Wanted { differs: false, ..nothing(WantedKind::Other) };
        // `split` takes sizes too; what is cut is said with the operator that takes nothing else.
        let is_called = |node: &&Node| node.op == op || (node.op == SPLIT && SPLITS_BY_SIZES.contains(&op));
        let Some(node) = self.calls.get(&call).filter(is_called) else { return same() };
        let (Some(wanted), Ok(given)) = (node.args.get(argument), serde_json::from_str::<Literal>(literal)) else {
            return same();
        };
        let wanted = at_batch(&wanted.value, self.batch);
        if node.op != op && !matches!(given, Literal::Ints(_)) {
            return same();
        }
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

    fn found(&mut self, call: usize, argument: usize, element: i64, place: ProgramPlace) {
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
            text: None,
        });
    }

    fn split(&mut self, call: usize, op: &str, number: i64) -> Vec<i64> {
        let Some(node) = self.calls.get(&call).filter(|node| node.op == SPLIT && node.op != op) else {
            return Vec::new();
        };
        let Some(sizes) = node.ints("split_sizes").map(|sizes| sizes.iter().map(|size| size.fixed).collect::<Vec<_>>())
        else {
            return Vec::new();
        };
        if parts(op, sizes.iter().sum(), number) == sizes { Vec::new() } else { sizes }
    }

    fn found_split(&mut self, call: usize, operator_name: ProgramPlace, sizes: ProgramPlace) {
        let Some(node) = self.calls.get(&call) else { return };
        let Some(wanted) = node.arg("split_sizes") else { return };
        let found = |place, argument: &str, text| Found {
            place,
            node: node.name.clone(),
            op: node.op.clone(),
            argument: argument.to_owned(),
            given: Literal::None,
            wanted: wanted.clone(),
            text,
        };
        let named = found(operator_name, "operator", Some("torch.split_with_sizes".to_owned()));
        let sized = found(sizes, "split_sizes", None);
        self.found.extend([named, sized]);
    }

    fn found_check(&mut self, size: i64, place: ProgramPlace) {
        self.found_in_check(place, Literal::Int(Size::fixed(size)), None);
    }

    fn found_condition(&mut self, value: bool, place: ProgramPlace) {
        let text = if value { "True" } else { "False" };
        self.found_in_check(place, Literal::Bool(value), Some(text.to_owned()));
    }

    fn found_grad_mode(&mut self, place: ProgramPlace) {
        let inside = format!("{}.", place.instance);
        if !self.cut.iter().any(|name| place.instance.is_empty() || name.starts_with(&inside)) {
            return;
        }
        self.found.push(Found {
            node: place.instance.clone(),
            place,
            op: "aten::is_grad_enabled".to_owned(),
            argument: "result".to_owned(),
            given: Literal::None,
            wanted: Literal::Bool(true),
            text: Some("True".to_owned()),
        });
    }
}

impl Wishes {
    fn found_in_check(&mut self, place: ProgramPlace, wanted: Literal, text: Option<String>) {
        self.found.push(Found {
            place,
            node: "a check of sizes".to_owned(),
            op: "prim::RaiseException".to_owned(),
            argument: "size".to_owned(),
            given: Literal::None,
            wanted,
            text,
        });
    }
}

const SPLITS_BY_SIZES: [&str; 2] = ["aten::split", "aten::unsafe_split_with_sizes"];
const SPLIT: &str = "aten::split_with_sizes";

/// The sizes into which an operator that is given a number splits `total`.
fn parts(op: &str, total: i64, number: i64) -> Vec<i64> {
    let runs_of = |size: i64| {
        let starts = (0..total).step_by(size.max(1) as usize);
        starts.map(|start| size.min(total - start)).collect()
    };
    match op {
        "aten::chunk" | "aten::unsafe_chunk" => runs_of((total + number - 1) / number.max(1)),
        "aten::split" | "aten::unsafe_split" => runs_of(number),
        "aten::tensor_split" => {
            let number = number.max(1);
            (0..number).map(|part| total / number + i64::from(part < total % number)).collect()
        }
        _ => Vec::new(),
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
