//! From two evaluations of a model, at two batch sizes, to one graph.
//!
//! The C++ side writes down what `forward` did on one input; here the two records are laid side by side. They must hold
//! the same calls. Integers that differ are affine in the batch; anything else that differs is refused, since what the
//! model computes would depend on the batch in a way that no graph can say. Calls that no output needs (the arithmetic
//! on sizes that traced models are full of) are left out.

use std::collections::{HashMap, HashSet};

use secateur_core::graph::{
    Argument, DType, GraphFile, Literal, Node, Output, Parameter, ParameterKind, Size, Value, ValueId,
};
use secateur_core::rejection::{Code, Rejection};
use serde::Deserialize;

/// What `forward` did on one input.
#[derive(Debug, Deserialize)]
pub(super) struct Recording {
    values: Vec<RecordedValue>,
    inputs: Vec<ValueId>,
    pub parameters: Vec<Parameter>,
    /// What the archive calls constants, by value.
    #[serde(default)]
    pub constants: Vec<(ValueId, String)>,
    pub nodes: Vec<RecordedNode>,
    #[serde(default)]
    specialisations: Vec<String>,
    /// What the program keeps from one call to the next.
    #[serde(default)]
    state: Vec<ValueId>,
    output: Output,
}

impl Recording {
    /// Names of the parameters that what is needed was computed of.
    pub(super) fn parameters_read(&self) -> HashSet<String> {
        let read: HashSet<ValueId> = live_nodes(self).iter().flat_map(|(_, node)| tensors_of(&node.args)).collect();
        let parameters = self.parameters.iter().filter(|parameter| read.contains(&parameter.value));
        parameters.map(|parameter| parameter.name.clone()).collect()
    }

    /// What is needed of all that was computed.
    fn results(&self) -> impl Iterator<Item = ValueId> {
        self.output.tensors().into_iter().chain(self.state.iter().copied())
    }
}

#[derive(Debug, Deserialize)]
struct RecordedValue {
    shape: Vec<i64>,
    dtype: DType,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordedNode {
    op: String,
    overload: String,
    args: Vec<Argument>,
    outputs: Vec<ValueId>,
    #[serde(default)]
    list: bool,
    /// Dotted path of the module that made the call.
    pub module: String,
    /// Line of the archive's code.
    source: String,
}

/// One graph for all batch sizes, and which of the recording's parameters it kept.
pub(super) struct Fitted {
    pub file: GraphFile,
    /// For each parameter of the graph its index in the recording.
    pub kept: Vec<usize>,
    /// For each node of the graph the number of its call in the recording.
    pub calls: Vec<usize>,
}

/// The batch sizes of two recordings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches(pub i64, pub i64);

impl Batches {
    /// The affine size that is `first` and `second` at the two batch sizes.
    fn fit(self, first: i64, second: i64) -> Option<Size> {
        let (rise, run) = (second - first, self.1 - self.0);
        if rise % run != 0 {
            return None;
        }
        let per_sample = rise / run;
        Some(Size { per_sample, fixed: first - per_sample * self.0 })
    }
}

/// Fits one graph to two recordings of the same model.
pub(super) fn fit(first: &Recording, second: &Recording, batches: Batches) -> Result<Fitted, Rejection> {
    let first_nodes = live_nodes(first);
    let second_nodes = live_nodes(second);
    if first_nodes.len() != second_nodes.len() || first.results().count() != second.results().count() {
        return Err(depends_on_batch("the number of its operators", None));
    }

    let mut values = Renumbered::default();
    for &input in &first.inputs {
        values.add(first, second, input, input, batches)?;
    }
    let (parameters, kept) = parameters(first, second, &first_nodes, &mut values, batches)?;
    let mut names = NodeNames::new(&parameters);
    let mut nodes = Vec::with_capacity(first_nodes.len());
    for (&(_, one), &(_, other)) in first_nodes.iter().zip(&second_nodes) {
        nodes.push(node(first, second, one, other, &mut values, &mut names, batches)?);
    }
    let output = values.output(&first.output);
    let state = first.state.iter().map(|&value| values.get(value)).collect();
    let inputs = first.inputs.iter().map(|&input| values.get(input)).collect();
    let file = GraphFile {
        format: secateur_core::graph::FORMAT,
        values: values.values,
        inputs,
        parameters,
        nodes,
        output,
        specialisations: first.specialisations.clone(),
        state,
        methods: Vec::new(),
        free_sizes: Vec::new(),
        input_names: Vec::new(),
        numbers: Vec::new(),
    };
    check_batch_reaches_output(&file)?;
    let calls = first_nodes.iter().map(|&(number, _)| number).collect();
    Ok(Fitted { file, kept, calls })
}

/// The calls that the output needs, in program order, with their numbers among all calls.
fn live_nodes(recording: &Recording) -> Vec<(usize, &RecordedNode)> {
    let mut needed: HashSet<ValueId> = recording.results().collect();
    let mut live = Vec::new();
    for (number, node) in recording.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(tensors_of(&node.args));
            live.push((number, node));
        }
    }
    live.reverse();
    live
}

fn tensors_of(args: &[Argument]) -> Vec<ValueId> {
    let mut tensors = Vec::new();
    for arg in args {
        match &arg.value {
            Literal::Tensor(value) => tensors.push(*value),
            Literal::Tensors(values) => tensors.extend(values.iter().flatten()),
            _ => {}
        }
    }
    tensors
}

/// All parameters and buffers; constants only where a call reads them. A model without parameters was frozen: its float32
/// constants are what was trained.
fn parameters(
    first: &Recording,
    second: &Recording,
    nodes: &[(usize, &RecordedNode)],
    values: &mut Renumbered,
    batches: Batches,
) -> Result<(Vec<Parameter>, Vec<usize>), Rejection> {
    let mut read: HashSet<ValueId> = first.results().collect();
    read.extend(nodes.iter().flat_map(|(_, node)| tensors_of(&node.args)));
    let mut taken: HashSet<String> = first.parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut kept = Vec::new();
    let mut lifted = 0;
    let is_frozen = first.parameters.iter().all(|parameter| parameter.kind != ParameterKind::Parameter);
    for (index, parameter) in first.parameters.iter().enumerate() {
        if parameter.kind == ParameterKind::Constant && !read.contains(&parameter.value) {
            taken.remove(&parameter.name);
            continue;
        }
        let other = second.parameters.get(index).filter(|other| other.kind == parameter.kind);
        let other = other.ok_or_else(|| depends_on_batch("the number of its constants", None))?;
        let mut parameter = parameter.clone();
        let value = &first.values[parameter.value.index()];
        let was_trained = value.dtype == DType::Float32 && !value.shape.is_empty();
        let is_constant = parameter.kind == ParameterKind::Constant;
        // Lifted constants are numbered anew, since many were only numbers of size arithmetic.
        if parameter.kind == ParameterKind::Constant && parameter.name.starts_with("CONSTANTS.") {
            taken.remove(&parameter.name);
            while !taken.insert(format!("CONSTANTS.c{lifted}")) {
                lifted += 1;
            }
            parameter.name = format!("CONSTANTS.c{lifted}");
        }
        if parameter.tied_to.is_none() {
            values.add(first, second, parameter.value, other.value, batches)?;
        }
        if is_frozen && is_constant && was_trained {
            parameter.kind = ParameterKind::Parameter;
            parameter.requires_grad = true;
        }
        parameter.value = values.get(parameter.value);
        if parameter.tied_to.is_some() {
            let owner = parameters.iter().find(|owner| owner.value == parameter.value);
            parameter.tied_to = owner.map(|owner| owner.name.clone());
        }
        parameters.push(parameter);
        kept.push(index);
    }
    Ok((parameters, kept))
}

fn node(
    first: &Recording,
    second: &Recording,
    one: &RecordedNode,
    other: &RecordedNode,
    values: &mut Renumbered,
    names: &mut NodeNames,
    batches: Batches,
) -> Result<Node, Rejection> {
    let place = if one.module.is_empty() { &one.source } else { &one.module };
    let is_same_call = one.op == other.op
        && one.overload == other.overload
        && one.args.len() == other.args.len()
        && one.outputs.len() == other.outputs.len();
    if !is_same_call {
        return Err(depends_on_batch(&format!("whether it calls `{}` or `{}`", one.op, other.op), Some(place)));
    }
    let mut args = Vec::with_capacity(one.args.len());
    for (a, b) in one.args.iter().zip(&other.args) {
        let value = literal(&a.value, &b.value, values, batches)
            .ok_or_else(|| depends_on_batch(&format!("the argument `{}` of `{}`", a.name, one.op), Some(place)))?;
        args.push(Argument { name: a.name.clone(), keyword: a.keyword, value });
    }
    make_on_the_device_of_the_run(&mut args);
    for (&a, &b) in one.outputs.iter().zip(&other.outputs) {
        values.add(first, second, a, b, batches)?;
    }
    let name = names.next(&one.op, &args);
    let outputs = one.outputs.iter().map(|&output| values.get(output)).collect();
    Ok(Node { name, op: one.op.clone(), overload: one.overload.clone(), args, outputs, list: one.list })
}

/// A tensor that is made of no other (`zeros`, `arange`) would be made on the CPU when the call names no device.
fn make_on_the_device_of_the_run(args: &mut [Argument]) {
    if tensors_of(args).is_empty() {
        for arg in args.iter_mut().filter(|arg| arg.name == "device" && arg.value == Literal::None) {
            arg.value = Literal::Device("cpu".to_owned());
        }
    }
}

/// The literal that is `one` and `other` at the two batch sizes. The tensors of the second record have the numbers of
/// the first's counterparts, since both hold the same calls.
fn literal(one: &Literal, other: &Literal, values: &Renumbered, batches: Batches) -> Option<Literal> {
    match (one, other) {
        (Literal::Tensor(a), Literal::Tensor(b)) => values.pair(*a, *b).map(Literal::Tensor),
        (Literal::Tensors(a), Literal::Tensors(b)) if a.len() == b.len() => {
            let tensors = a.iter().zip(b).map(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => values.pair(*a, *b).map(Some),
                (None, None) => Some(None),
                _ => None,
            });
            tensors.collect::<Option<_>>().map(Literal::Tensors)
        }
        (Literal::Int(a), Literal::Int(b)) => batches.fit(a.fixed, b.fixed).map(Literal::Int),
        (Literal::Ints(a), Literal::Ints(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| batches.fit(a.fixed, b.fixed)).collect::<Option<_>>().map(Literal::Ints)
        }
        (Literal::Float(a), Literal::Float(b)) => (a.to_bits() == b.to_bits()).then(|| one.clone()),
        _ => (one == other).then(|| one.clone()),
    }
}

/// The values of the graph, numbered in the order of their production.
#[derive(Default)]
struct Renumbered {
    values: Vec<Value>,
    new: HashMap<ValueId, ValueId>,
    /// Number in the second recording of each value of the first.
    counterpart: HashMap<ValueId, ValueId>,
}

impl Renumbered {
    fn add(
        &mut self,
        first: &Recording,
        second: &Recording,
        a: ValueId,
        b: ValueId,
        batches: Batches,
    ) -> Result<(), Rejection> {
        let (one, other) = (&first.values[a.index()], &second.values[b.index()]);
        let shape = (one.dtype == other.dtype && one.shape.len() == other.shape.len())
            .then(|| one.shape.iter().zip(&other.shape).map(|(&a, &b)| batches.fit(a, b)).collect::<Option<Vec<_>>>());
        let shape = shape.flatten().ok_or_else(|| depends_on_batch("the shape of a tensor", None))?;
        self.new.insert(a, ValueId(self.values.len() as u32));
        self.counterpart.insert(a, b);
        self.values.push(Value { shape, dtype: one.dtype, max: None });
        Ok(())
    }

    fn get(&self, value: ValueId) -> ValueId {
        self.new[&value]
    }

    fn pair(&self, a: ValueId, b: ValueId) -> Option<ValueId> {
        (self.counterpart.get(&a) == Some(&b)).then(|| self.get(a))
    }

    fn output(&self, output: &Output) -> Output {
        let parts = |parts: &[Output]| parts.iter().map(|part| self.output(part)).collect();
        match output {
            Output::Tensor(value) => Output::Tensor(self.get(*value)),
            Output::Tuple(elements) => Output::Tuple(parts(elements)),
            Output::List(elements) => Output::List(parts(elements)),
            Output::Dict(entries) => {
                Output::Dict(entries.iter().map(|(key, part)| (key.clone(), self.output(part))).collect())
            }
            Output::None => Output::None,
        }
    }
}

/// Names nodes by the module whose weights they read, else by operator and number.
struct NodeNames {
    /// Owner of each parameter that a module has as its own.
    owners: HashMap<ValueId, String>,
    used: HashSet<String>,
    counts: HashMap<String, usize>,
}

impl NodeNames {
    fn new(parameters: &[Parameter]) -> Self {
        let mut owners = HashMap::new();
        for parameter in parameters.iter().filter(|parameter| parameter.kind != ParameterKind::Constant) {
            if let Some((owner, _)) = parameter.name.rsplit_once('.') {
                owners.entry(parameter.value).or_insert_with(|| owner.to_owned());
            }
        }
        Self { owners, used: HashSet::new(), counts: HashMap::new() }
    }

    fn next(&mut self, op: &str, args: &[Argument]) -> String {
        let owner = tensors_of(args).into_iter().find_map(|tensor| self.owners.get(&tensor)).cloned();
        match owner {
            Some(owner) => {
                let mut name = owner.clone();
                for number in 2.. {
                    if self.used.insert(name.clone()) {
                        break;
                    }
                    name = format!("{owner}_{number}");
                }
                name
            }
            None => {
                let operator = op.rsplit("::").next().unwrap_or(op).trim_matches('_').to_owned();
                let count = self.counts.entry(operator.clone()).or_default();
                loop {
                    *count += 1;
                    let name = format!("{operator}_{count}");
                    if self.used.insert(name.clone()) {
                        return name;
                    }
                }
            }
        }
    }
}

/// A traced model can have its batch written into a `view`; then no output grows with the batch.
fn check_batch_reaches_output(file: &GraphFile) -> Result<(), Rejection> {
    let outputs = file.output.tensors();
    if outputs.is_empty() {
        return Err(Rejection::new(Code::UnsupportedModel, "The model returns no tensor.")
            .hint("Let `forward` return at least one tensor."));
    }
    // Time may come first, `[time, batch, classes]`, or all samples be in one dimension.
    let has_batch = |value: ValueId| {
        let shape = &file.values[value.index()].shape;
        shape.contains(&Size::BATCH) || shape.first().is_some_and(|size| size.per_sample > 0)
    };
    if outputs.into_iter().any(has_batch) {
        return Ok(());
    }
    Err(batch_is_fixed("no dimension of an output is the batch"))
}

pub(super) fn batch_is_fixed(observation: &str) -> Rejection {
    Rejection::new(Code::UnsupportedModel, format!("The batch size seems to be fixed in the model: {observation}."))
        .hint("Write `x.flatten(1)` or `x.view(x.size(0), -1)` instead of fixed sizes before torch.jit.trace, or use torch.jit.script.")
}

pub(super) fn depends_on_batch(what: &str, place: Option<&String>) -> Rejection {
    let rejection =
        Rejection::new(Code::UnsupportedModel, format!("What the model computes depends on the batch size: {what}."));
    match place.filter(|place| !place.is_empty()) {
        Some(place) => rejection.at(place.clone()),
        None => rejection,
    }
}
