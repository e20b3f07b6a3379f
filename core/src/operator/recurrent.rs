//! Recurrent layers: LSTM, GRU and plain RNN, whole and by single steps.
//!
//! A hidden unit has a row for each gate in both matrices, reads through a column of the recurrent one, and is the same unit in
//! every layer and direction, because they share the tensors of initial and final states. Without its columns, nothing else in the
//! layer sees it, so that what remains computes what it did.

use super::{Macs, Operator, operand, per_sample, sum_over_columns};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Argument, Graph, GraphFile, Literal, Node, Size, ValueId};

/// `lstm`, `gru`, `rnn_tanh` and `rnn_relu` over sequences that are not packed.
pub(super) struct Recurrent;

/// `lstm_cell` and its kin: one step.
pub(super) struct Cell;

impl Operator for Recurrent {
    fn names(&self) -> &'static [&'static str] {
        &["aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let layers = layers(node)?;
        let input = operand(node, "input")?;
        let [first, second, features] = &axes.dims(input).to_vec()[..] else {
            return Err("a sequence without a batch has no channel rule".to_owned());
        };
        let (batch, time) = if batch_first(node) { (first, second) } else { (second, first) };
        let reason = axes.reason(Cause::by(node, "goes along its channels step by step"));
        axes.freeze(time, reason);

        let hidden = axes.dims(layers[0][0].recurrent)[1].clone();
        let mut read = features.clone();
        for directions in &layers {
            for matrices in directions {
                matrices.relate(node, graph, axes, &read, &hidden)?;
            }
            read = repeated(axes, graph, &hidden, layers[0][0].recurrent, directions.len());
        }
        let mut batch = batch.clone();
        for state in states(node) {
            let [of_layers, of_batch, of_hidden] = &axes.dims(state).to_vec()[..] else {
                return Err("an initial state without a batch has no channel rule".to_owned());
            };
            axes.freeze(of_layers, Reason::NOT_A_CHANNEL);
            batch = axes.unify(&batch, of_batch)?;
            axes.unify(&hidden, of_hidden)?;
        }
        let time = Dim::Fixed(Reason::NOT_A_CHANNEL);
        let sequence = if batch_first(node) { [batch.clone(), time.clone()] } else { [time.clone(), batch.clone()] };
        axes.set(node.outputs[0], [sequence.to_vec(), vec![read]].concat());
        for &state in &node.outputs[1..] {
            axes.set(state, vec![time.clone(), batch.clone(), hidden.clone()]);
        }
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        let rows = rows(node, graph);
        layers(node).unwrap_or_default().iter().flatten().flat_map(|matrices| matrices.macs(rows)).collect()
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }
}

impl Operator for Cell {
    fn names(&self) -> &'static [&'static str] {
        &["aten::lstm_cell", "aten::gru_cell", "aten::rnn_tanh_cell", "aten::rnn_relu_cell"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let matrices = cell(node)?;
        let mut dims = axes.dims(operand(node, "input")?).to_vec();
        let features = dims.pop().ok_or("a recurrent cell reads a scalar")?;
        let hidden = axes.dims(matrices.recurrent)[1].clone();
        matrices.relate(node, graph, axes, &features, &hidden)?;
        dims.push(hidden);
        for state in states(node) {
            for (own, other) in dims.iter_mut().zip(axes.dims(state).to_vec()) {
                *own = axes.unify(own, &other)?;
            }
        }
        for &output in &node.outputs {
            axes.set(output, dims.clone());
        }
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        cell(node).map(|matrices| matrices.macs(rows(node, graph))).unwrap_or_default()
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }
}

/// The parameters of one layer in one direction.
struct Matrices {
    /// `[gates · hidden, in]`
    input: ValueId,
    /// `[gates · hidden, hidden]`
    recurrent: ValueId,
    /// `[gates · hidden]`
    biases: Vec<ValueId>,
}

impl Matrices {
    fn all(&self) -> Vec<ValueId> {
        [&[self.input, self.recurrent], &self.biases[..]].concat()
    }

    /// `read` is what the layer's input has for features.
    fn relate(&self, node: &Node, graph: &Graph, axes: &mut Axes, read: &Dim, hidden: &Dim) -> Result<(), String> {
        let (columns, own) = (axes.dims(self.input)[1].clone(), axes.dims(self.recurrent)[1].clone());
        axes.unify(read, &columns)?;
        axes.unify(hidden, &own)?;
        let rows = repeated(axes, graph, hidden, self.recurrent, gates(node));
        for weight in self.all() {
            let of_weight = axes.dims(weight)[0].clone();
            axes.unify(&rows, &of_weight)?;
        }
        sum_over_columns(node, graph, axes, self.input, 1);
        sum_over_columns(node, graph, axes, self.recurrent, 1);
        Ok(())
    }

    fn macs(&self, rows: u64) -> Vec<Macs> {
        [self.input, self.recurrent]
            .map(|weight| Macs { coefficient: rows, dims: vec![(weight, 0), (weight, 1)] })
            .into()
    }
}

/// The matrices of one recurrent layer in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrentMatrices {
    /// `[gates · hidden, in]`
    pub input: ValueId,
    /// `[gates · hidden, hidden]`
    pub recurrent: ValueId,
    /// What is added to the product with the input.
    pub input_bias: Option<ValueId>,
    /// What is added to the product with the state.
    pub recurrent_bias: Option<ValueId>,
}

impl From<&Matrices> for RecurrentMatrices {
    fn from(Matrices { input, recurrent, biases }: &Matrices) -> Self {
        let (input_bias, recurrent_bias) = (biases.first().copied(), biases.get(1).copied());
        Self { input: *input, recurrent: *recurrent, input_bias, recurrent_bias }
    }
}

/// The matrices, by direction, of a node that is a single recurrent layer over whole sequences; empty for every other node, see
/// [`layer_by_layer`].
pub fn recurrent_matrices(node: &Node) -> Vec<RecurrentMatrices> {
    match &stack(node)[..] {
        [directions] => directions.iter().map(RecurrentMatrices::from).collect(),
        _ => Vec::new(),
    }
}

/// The matrices of a node that is one step of a recurrent layer, and the state that it starts from.
pub fn recurrent_cell(node: &Node) -> Option<(RecurrentMatrices, ValueId)> {
    let is_cell = Cell.names().contains(&super::functional_name(&node.op));
    let matrices = is_cell.then(|| cell(node).ok()).flatten()?;
    Some((RecurrentMatrices::from(&matrices), *states(node).first()?))
}

/// The parameters of a node that goes along sequences, by layer and direction; empty for every other node.
fn stack(node: &Node) -> Vec<Vec<Matrices>> {
    let is_recurrent = Recurrent.names().contains(&super::functional_name(&node.op));
    if is_recurrent { layers(node).unwrap_or_default() } else { Vec::new() }
}

/// The same computation with a node for each layer of a recurrent stack, so that what each layer reads and gives is a value. Parameters and
/// all other nodes stay as they are.
///
/// # Panics
/// Never: the parts of a stack read what stands before it.
pub fn layer_by_layer(graph: &Graph) -> Graph {
    let mut file = graph.file().clone();
    for node in std::mem::take(&mut file.nodes) {
        let layers = stack(&node);
        if layers.len() > 1 { unstack(&mut file, &node, &layers) } else { file.nodes.push(node) }
    }
    Graph::new(file).expect("each layer reads the one before it, and later nodes what the stack gave")
}

fn unstack(file: &mut GraphFile, node: &Node, layers: &[Vec<Matrices>]) {
    let (Some(mut input), Some((&output, states_after))) = (node.tensor("input"), node.outputs.split_first()) else {
        return file.nodes.push(node.clone());
    };
    let mut after: Vec<Vec<Option<ValueId>>> = vec![Vec::new(); states_after.len()];
    for (layer, directions) in layers.iter().enumerate() {
        let name = format!("{}.layer{layer}", node.name);
        let (count, first) = (directions.len() as i64, (layer * directions.len()) as i64);
        let before: Vec<ValueId> = states(node)
            .into_iter()
            .enumerate()
            .map(|(number, state)| narrowed(file, &format!("{name}.state{number}"), state, first, count))
            .collect();
        let given = match layer + 1 == layers.len() {
            true => output,
            false => added(file, output, None),
        };
        let left: Vec<ValueId> = states_after.iter().map(|&state| added(file, state, Some(count))).collect();
        let mut own = Node { name, outputs: [&[given], &left[..]].concat(), ..node.clone() };
        own.set("input", Literal::Tensor(input));
        own.set("num_layers", Literal::Int(Size::fixed(1)));
        own.set("params", Literal::Tensors(directions.iter().flat_map(Matrices::all).map(Some).collect()));
        let is_list = matches!(node.arg("hx"), Some(Literal::Tensors(_)));
        own.set(
            "hx",
            match before[..] {
                [state] if !is_list => Literal::Tensor(state),
                _ => Literal::Tensors(before.into_iter().map(Some).collect()),
            },
        );
        file.nodes.push(own);
        after.iter_mut().zip(left).for_each(|(states, state)| states.push(Some(state)));
        input = given;
    }
    for (number, (states, &output)) in after.into_iter().zip(states_after).enumerate() {
        let args = [("tensors", Literal::Tensors(states)), ("dim", Literal::Int(Size::fixed(0)))];
        file.nodes.push(call(format!("{}.states{number}", node.name), "aten::cat", &args, output));
    }
}

/// So many layers and directions of a state, from the first one.
fn narrowed(file: &mut GraphFile, name: &str, state: ValueId, first: i64, count: i64) -> ValueId {
    let output = added(file, state, Some(count));
    let [dim, start, length] = [0, first, count].map(|number| Literal::Int(Size::fixed(number)));
    let args = [("self", Literal::Tensor(state)), ("dim", dim), ("start", start), ("length", length)];
    file.nodes.push(call(name.to_owned(), "aten::narrow", &args, output));
    output
}

/// A new value that is like this one, or has so many rows of it.
fn added(file: &mut GraphFile, like: ValueId, rows: Option<i64>) -> ValueId {
    let mut value = file.values[like.index()].clone();
    if let (Some(rows), Some(size)) = (rows, value.shape.first_mut()) {
        *size = Size::fixed(rows);
    }
    file.values.push(value);
    ValueId(file.values.len() as u32 - 1)
}

fn call(name: String, op: &str, args: &[(&str, Literal)], output: ValueId) -> Node {
    let args = args.iter().map(|(name, value)| Argument::positional(name, value.clone())).collect();
    Node { name, op: op.to_owned(), overload: String::new(), args, outputs: vec![output], list: false }
}

/// Vectors that are multiplied for one sample: the steps of a sequence.
fn rows(node: &Node, graph: &Graph) -> u64 {
    let shape = node.tensor("input").map_or(&[][..], |input| &graph.value(input).shape);
    per_sample(&shape[..shape.len().saturating_sub(1)])
}

/// Rows of a hidden unit.
fn gates(node: &Node) -> usize {
    match super::functional_name(&node.op) {
        "aten::lstm" | "aten::lstm_cell" => 4,
        "aten::gru" | "aten::gru_cell" => 3,
        _ => 1,
    }
}

fn batch_first(node: &Node) -> bool {
    node.bool("batch_first") == Some(true)
}

/// The initial states: two of an LSTM.
fn states(node: &Node) -> Vec<ValueId> {
    match node.arg("hx") {
        Some(Literal::Tensors(states)) => states.iter().flatten().copied().collect(),
        Some(Literal::Tensor(state)) => vec![*state],
        _ => Vec::new(),
    }
}

/// A dimension whose indices are those of `hidden`, all of them so many times.
fn repeated(axes: &mut Axes, graph: &Graph, hidden: &Dim, recurrent: ValueId, times: usize) -> Dim {
    let units = graph.value(recurrent).shape[1].fixed as usize;
    let elements = axes.elements(hidden, units);
    Dim::Channels(elements.repeat(times).into())
}

/// The parameters by layer and direction.
fn layers(node: &Node) -> Result<Vec<Vec<Matrices>>, String> {
    let Some(Literal::Tensors(parameters)) = node.arg("params") else {
        return Err("the list of its weights is not known".to_owned());
    };
    if node.arg("batch_sizes").is_some() {
        return Err("packed sequences have no channel rule".to_owned());
    }
    let parameters: Vec<ValueId> = parameters.iter().flatten().copied().collect();
    let directions = if node.bool("bidirectional") == Some(true) { 2 } else { 1 };
    let biases = if node.bool("has_biases") == Some(true) { 2 } else { 0 };
    let count = node.int("num_layers").and_then(|count| usize::try_from(count).ok()).unwrap_or(0) * directions;
    if count == 0 || parameters.len() != count * (2 + biases) {
        return Err(format!("{} weights of {count} layers and directions have no channel rule", parameters.len()));
    }
    let matrices = |own: &[ValueId]| Matrices { input: own[0], recurrent: own[1], biases: own[2..].to_vec() };
    let of_direction: Vec<&[ValueId]> = parameters.chunks(2 + biases).collect();
    Ok(of_direction.chunks(directions).map(|layer| layer.iter().map(|own| matrices(own)).collect()).collect())
}

fn cell(node: &Node) -> Result<Matrices, String> {
    Ok(Matrices {
        input: operand(node, "w_ih")?,
        recurrent: operand(node, "w_hh")?,
        biases: ["b_ih", "b_hh"].into_iter().filter_map(|name| node.tensor(name)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, ints};

    const STEPS: i64 = 5;

    #[test]
    fn a_hidden_unit_goes_with_its_rows_in_every_gate_and_its_columns() {
        let mut net = Net::new(&[STEPS, 3]);
        net.recurrent(4, 4, 1, 1);
        net.linear("out", 2);
        let [group] = &net.groups()[..] else { panic!("{:?}", net.groups()) };
        assert_eq!(group.channels(), 4);
        assert_eq!(group.tensors(), ["ih_0_0:0", "hh_0_0:0", "hh_0_0:1", "b_0_0:0", "c_0_0:0", "out.weight:1"]);
        let cut = net.cut(&[vec![1, 3]]);
        assert_eq!(cut.kept.0["ih_0_0"][&0], [1, 3, 5, 7, 9, 11, 13, 15]);
        assert_eq!(cut.kept.0["hh_0_0"][&1], [1, 3]);
        assert_eq!(cut.zeroed.0["hh_0_0"][&1], [0, 2], "no unit that remains may read one that goes");
        assert!(!cut.zeroed.0.contains_key("ih_0_0"));
        let state = cut.graph.nodes().iter().find(|node| node.name == "state").unwrap();
        assert_eq!(state.ints("size").unwrap()[2], Size::fixed(2));
        assert_eq!(net.costs().macs, (STEPS * 16 * (3 + 4) + STEPS * 4 * 2) as u64);
    }

    #[test]
    fn layers_and_directions_share_their_units() {
        let mut net = Net::new(&[STEPS, 3]);
        net.recurrent(4, 3, 2, 2);
        net.linear("out", 2);
        let [group] = &net.groups()[..] else { panic!("{:?}", net.groups()) };
        assert_eq!(group.channels(), 4);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["ih_1_1"][&1], [0, 2, 4, 6], "the second layer reads both directions of the first");
        assert_eq!(cut.kept.0["out.weight"][&1], [0, 2, 4, 6]);
        assert_eq!(cut.kept.0["c_0_1"][&0], [0, 2, 4, 6, 8, 10]);
        let of_layer = |features: i64| 2 * STEPS * 12 * (features + 4);
        assert_eq!(net.costs().macs, (of_layer(3) + of_layer(8) + STEPS * 8 * 2) as u64);
    }

    #[test]
    fn a_stack_becomes_a_node_for_each_layer_between_the_same_values() {
        let mut net = Net::new(&[STEPS, 3]);
        net.recurrent(4, 4, 3, 2).linear("out", 2);
        let (graph, apart) = (net.graph(), super::layer_by_layer(&net.graph()));
        let stack = graph.nodes().iter().find(|node| node.op == "aten::lstm").unwrap();
        assert!(super::recurrent_matrices(stack).is_empty());
        let layers: Vec<_> = apart.nodes().iter().filter(|node| node.op == "aten::lstm").collect();
        assert_eq!(layers.len(), 3);
        for (layer, node) in layers.iter().enumerate() {
            let name = |value| &graph.as_parameter(value).unwrap().name;
            let matrices = super::recurrent_matrices(node);
            assert_eq!(name(matrices[1].input), &format!("ih_{layer}_1"));
            assert_eq!(name(matrices[0].recurrent_bias.unwrap()), &format!("c_{layer}_0"));
            let read = layer.checked_sub(1).map_or(stack.tensor("input").unwrap(), |before| layers[before].outputs[0]);
            assert_eq!(node.tensor("input"), Some(read));
        }
        assert_eq!(layers[2].outputs[0], stack.outputs[0], "later nodes read what they did");
    }

    #[test]
    fn what_the_layer_reads_is_cut_and_what_it_goes_along_is_not() {
        let mut net = Net::new(&[3, STEPS, 6]);
        net.conv("a", 4, 3, 1).mean(&[3], false).apply("aten::permute", &[("dims", ints(&[0, 2, 1]))], &[STEPS, 4]);
        net.recurrent(4, 4, 1, 1);
        net.linear("out", 2);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "ih_0_0:1"]);

        // Channels as time.
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", STEPS, 3, 1).mean(&[3], false);
        net.recurrent(4, 4, 1, 1);
        net.linear("out", 2);
        assert!(net.reasons("a.weight", 0).contains("step by step"), "{}", net.reasons("a.weight", 0));
    }

    #[test]
    fn a_cell_couples_its_states() {
        let mut net = Net::new(&[3]);
        let input = net.here();
        net.linear("start", 4);
        let state = Literal::Tensor(net.here());
        let (w_ih, w_hh) = (net.weight("ih", &[12, 3]), net.weight("hh", &[12, 4]));
        let args = [("input", Literal::Tensor(input)), ("hx", state), ("w_ih", w_ih), ("w_hh", w_hh)];
        net.node("cell", "aten::gru_cell", &args, vec![Size::BATCH, Size::fixed(4)]).linear("out", 2);
        let [group] = &net.groups()[..] else { panic!("{:?}", net.groups()) };
        assert_eq!(group.tensors(), ["start.weight:0", "start.bias:0", "ih:0", "hh:0", "hh:1", "out.weight:1"]);
        assert_eq!(net.cut(&[vec![2]]).kept.0["hh"][&0], [2, 6, 10]);
        assert_eq!(net.costs().macs, 3 * 4 + 12 * 3 + 12 * 4 + 4 * 2);
    }
}
