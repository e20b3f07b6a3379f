//! Recurrent layers: LSTM, GRU and plain RNN, whole and by single steps.
//!
//! A hidden unit has a row for each gate in both matrices, reads through a column of the recurrent one, and is the same unit in
//! every layer and direction, because they share the tensors of initial and final states. Without its columns, nothing else in the
//! layer sees it, so that what remains computes what it did.

use super::{Macs, Operator, operand, per_sample, sum_over_columns};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Graph, Literal, Node, ValueId};

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
    /// `read` is what the layer's input has for features.
    fn relate(&self, node: &Node, graph: &Graph, axes: &mut Axes, read: &Dim, hidden: &Dim) -> Result<(), String> {
        let (columns, own) = (axes.dims(self.input)[1].clone(), axes.dims(self.recurrent)[1].clone());
        axes.unify(read, &columns)?;
        axes.unify(hidden, &own)?;
        let rows = repeated(axes, graph, hidden, self.recurrent, gates(node));
        for weight in [&[self.input, self.recurrent], &self.biases[..]].concat() {
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

/// The matrices of a whole recurrent layer whose inputs and results the graph has: those of its first layer, by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrentMatrices {
    /// `[gates · hidden, in]`
    pub input: ValueId,
    /// `[gates · hidden, hidden]`; `None` where further layers follow, so that its states are no result.
    pub recurrent: Option<ValueId>,
    /// What is added to the product with the input.
    pub input_bias: Option<ValueId>,
    /// What is added to the product with the state.
    pub recurrent_bias: Option<ValueId>,
}

/// The matrices of a recurrent layer that reads whole sequences; empty for every other node.
pub fn recurrent_matrices(node: &Node) -> Vec<RecurrentMatrices> {
    if !Recurrent.names().contains(&super::functional_name(&node.op)) {
        return Vec::new();
    }
    let Ok(layers) = layers(node) else { return Vec::new() };
    let is_alone = layers.len() == 1;
    let of_direction = |Matrices { input, recurrent, biases }: &Matrices| RecurrentMatrices {
        input: *input,
        recurrent: is_alone.then_some(*recurrent),
        input_bias: biases.first().copied(),
        recurrent_bias: biases.get(1).copied(),
    };
    layers.first().map(|directions| directions.iter().map(of_direction).collect()).unwrap_or_default()
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
    use crate::testing::{Net, int, ints};

    const STEPS: i64 = 5;

    /// Appends a recurrent layer to sequences `[B, 5, in]`; an LSTM when it has four gates.
    fn recurrent(net: &mut Net, hidden: i64, gates: i64, layers: i64, directions: i64) {
        let input = net.here();
        let mut features = net.graph().value(input).shape[2].fixed;
        let mut params = Vec::new();
        for layer in 0..layers {
            for direction in 0..directions {
                let mut weight =
                    |name: &str, shape: &[i64]| match net.weight(&format!("{name}_{layer}_{direction}"), shape) {
                        Literal::Tensor(value) => params.push(Some(value)),
                        other => panic!("{other:?}"),
                    };
                weight("ih", &[gates * hidden, features]);
                weight("hh", &[gates * hidden, hidden]);
                weight("b", &[gates * hidden]);
                weight("c", &[gates * hidden]);
            }
            features = hidden * directions;
        }
        let state = [Size::fixed(layers * directions), Size::BATCH, Size::fixed(hidden)];
        net.node("state", "aten::zeros", &[("size", Literal::Ints(state.to_vec()))], state.to_vec());
        let state = net.here();
        let hx = if gates == 4 { Literal::Tensors(vec![Some(state); 2]) } else { Literal::Tensor(state) };
        let args = [
            ("input", Literal::Tensor(input)),
            ("hx", hx),
            ("params", Literal::Tensors(params)),
            ("has_biases", Literal::Bool(true)),
            ("num_layers", int(layers)),
            ("bidirectional", Literal::Bool(directions == 2)),
            ("batch_first", Literal::Bool(true)),
        ];
        let op = if gates == 4 { "aten::lstm" } else { "aten::gru" };
        let shape = [Size::BATCH, Size::fixed(STEPS), Size::fixed(hidden * directions)];
        net.node("rnn", op, &args, shape.to_vec());
    }

    #[test]
    fn a_hidden_unit_goes_with_its_rows_in_every_gate_and_its_columns() {
        let mut net = Net::new(&[STEPS, 3]);
        recurrent(&mut net, 4, 4, 1, 1);
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
        recurrent(&mut net, 4, 3, 2, 2);
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
    fn what_the_layer_reads_is_cut_and_what_it_goes_along_is_not() {
        let mut net = Net::new(&[3, STEPS, 6]);
        net.conv("a", 4, 3, 1).mean(&[3], false).apply("aten::permute", &[("dims", ints(&[0, 2, 1]))], &[STEPS, 4]);
        recurrent(&mut net, 4, 4, 1, 1);
        net.linear("out", 2);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "ih_0_0:1"]);

        // Channels as time.
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", STEPS, 3, 1).mean(&[3], false);
        recurrent(&mut net, 4, 4, 1, 1);
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
