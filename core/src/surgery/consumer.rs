//! The layers whose inputs were cut, which a repair in closed form fits anew.

use super::Cut;
use crate::graph::{Graph, Literal, Node, Producer, Size, ValueId};
use crate::operator;

/// A layer that sums over input channels of which some are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Index of its node.
    pub node: usize,
    /// What it reads.
    pub input: ValueId,
    /// Index of the parameter that holds its weights.
    pub weight: usize,
    /// How it multiplies.
    pub form: Form,
    /// What it is fitted to.
    pub goal: Goal,
    /// Where a shift of its results goes.
    pub intercept: Intercept,
}

/// What a layer is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// What its node gave in the original.
    Output,
    /// Its input in the original times its weights there: one part of what a recurrent layer adds up.
    Product,
    /// The states of the original times its weights there; those of the units that are left are the inputs.
    States {
        /// Which of the directions whose states stand side by side in the node's output.
        direction: usize,
        /// How many there are.
        directions: usize,
    },
}

/// How a layer multiplies its input with its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The last dimension of the input with a matrix.
    Linear {
        /// The matrix is `[in, out]`, and not `[out, in]`.
        is_transposed: bool,
    },
    /// Windows of the input with a kernel `[out, in / groups, ...]`.
    Convolution {
        /// By spatial dimension.
        stride: Vec<i64>,
        /// By spatial dimension, on both sides, with zeros.
        padding: Vec<i64>,
        /// By spatial dimension.
        dilation: Vec<i64>,
        /// Groups of channels that do not meet.
        groups: i64,
    },
}

/// Where a shift of a layer's results goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intercept {
    /// Into the layer's bias: the index of the parameter.
    Bias(usize),
    /// Off the running mean of the batch norm behind it: the index of the parameter.
    RunningMean(usize),
    /// Nowhere.
    None,
}

/// The layers of a cut network whose inputs were cut, in program order. Those whose weights other nodes read too are left out, since there is
/// more than one input to fit them to.
pub fn consumers(graph: &Graph, cut: &Cut) -> Vec<Consumer> {
    let nodes = graph.nodes().iter().enumerate();
    nodes
        .flat_map(|(index, node)| {
            consumer(graph, cut, index, node).into_iter().chain(recurrent(graph, cut, index, node))
        })
        .collect()
}

/// The matrices of a recurrent layer, each a problem of its own: with the input, and with the states of the step before, which are taken from
/// the original.
fn recurrent(graph: &Graph, cut: &Cut, index: usize, node: &Node) -> Vec<Consumer> {
    let matrices = operator::recurrent_matrices(node);
    let (Some(read), Some(&output)) = (node.tensor("input"), node.outputs.first()) else { return Vec::new() };
    let directions = matrices.len();
    let consumer = |weight: ValueId, bias: Option<ValueId>, input: ValueId, goal: Goal| {
        let parameter = graph.as_parameter(weight)?;
        cut.kept.0.get(&parameter.name)?.get(&1)?;
        let intercept = bias.and_then(|bias| sole_owner(graph, bias)).map_or(Intercept::None, Intercept::Bias);
        let form = Form::Linear { is_transposed: false };
        Some(Consumer { node: index, input, weight: sole_owner(graph, weight)?, form, goal, intercept })
    };
    let of_direction = |(direction, own): (usize, &operator::RecurrentMatrices)| {
        let states = Goal::States { direction, directions };
        let with_states = own.recurrent.and_then(|weight| consumer(weight, own.recurrent_bias, output, states));
        [consumer(own.input, own.input_bias, read, Goal::Product), with_states]
    };
    matrices.iter().enumerate().flat_map(of_direction).flatten().collect()
}

fn consumer(graph: &Graph, cut: &Cut, index: usize, node: &Node) -> Option<Consumer> {
    let (form, input) = form(graph, node)?;
    let parameter = operator::weight(graph, node)?;
    let axis = match form {
        Form::Linear { is_transposed: true } => 0,
        Form::Linear { is_transposed: false } | Form::Convolution { .. } => 1,
    };
    cut.kept.0.get(&parameter.name)?.get(&axis)?;
    let weight = sole_owner(graph, parameter.value)?;
    Some(Consumer { node: index, input, weight, form, goal: Goal::Output, intercept: intercept(graph, node) })
}

fn form(graph: &Graph, node: &Node) -> Option<(Form, ValueId)> {
    let is_parameter = |value: ValueId| graph.as_parameter(value).is_some();
    match node.op.as_str() {
        "aten::linear" => Some((Form::Linear { is_transposed: false }, node.tensor("input")?)),
        "aten::addmm" => {
            Some((Form::Linear { is_transposed: is_parameter(node.tensor("mat2")?) }, node.tensor("mat1")?))
        }
        "aten::mm" => Some((Form::Linear { is_transposed: is_parameter(node.tensor("mat2")?) }, node.tensor("self")?)),
        "aten::matmul" => {
            let other = node.tensor("other")?;
            let is_matrix = graph.value(other).shape.len() == 2;
            is_matrix.then_some((Form::Linear { is_transposed: is_parameter(other) }, node.tensor("self")?))
        }
        "aten::conv1d" | "aten::conv2d" | "aten::conv3d" | "aten::convolution" | "aten::_convolution" => {
            let (input, weight) = (node.tensor("input")?, node.tensor("weight")?);
            let kernel = &graph.value(weight).shape;
            let spatial = kernel.len().checked_sub(2)?;
            if node.bool("transposed") == Some(true) || graph.value(input).shape.len() != kernel.len() {
                return None;
            }
            let numbers = |name: &str, usual: i64| match node.arg(name) {
                Some(Literal::Ints(sizes)) => spread(sizes, spatial),
                Some(_) => None,
                None => Some(vec![usual; spatial]),
            };
            let (stride, padding, dilation) = (numbers("stride", 1)?, numbers("padding", 0)?, numbers("dilation", 1)?);
            Some((Form::Convolution { stride, padding, dilation, groups: node.int("groups")? }, input))
        }
        _ => None,
    }
}

/// One number stands for all spatial dimensions.
fn spread(sizes: &[Size], spatial: usize) -> Option<Vec<i64>> {
    let numbers: Vec<i64> = sizes.iter().map(|size| size.as_fixed()).collect::<Option<_>>()?;
    match numbers[..] {
        [one] => Some(vec![one; spatial]),
        _ => (numbers.len() == spatial).then_some(numbers),
    }
}

fn intercept(graph: &Graph, node: &Node) -> Intercept {
    let bias = match node.op.as_str() {
        "aten::addmm" => node.tensor("self"),
        _ => node.tensor("bias"),
    };
    if let Some(bias) = bias {
        // A shift by channel: `addmm` may add anything.
        let is_vector = graph.value(bias).shape.len() == 1;
        return sole_owner(graph, bias).filter(|_| is_vector).map_or(Intercept::None, Intercept::Bias);
    }
    let (Some(&output), None) = (node.outputs.first(), node.outputs.get(1)) else { return Intercept::None };
    let mut readers = graph.nodes().iter().filter(|other| other.inputs().contains(&output));
    match (readers.next(), readers.next()) {
        (Some(norm), None) if !graph.output().tensors().contains(&output) && operator::input(norm) == Some(output) => {
            let is_frozen = norm.op == "aten::batch_norm" && matches!(norm.arg("training"), Some(Literal::Bool(false)));
            let mean = operator::running_statistics(norm).first().copied();
            let mean = mean.filter(|_| is_frozen).and_then(|mean| sole_owner(graph, mean));
            mean.map_or(Intercept::None, Intercept::RunningMean)
        }
        _ => Intercept::None,
    }
}

/// The index of the parameter that a value is, or whose transposition it is, when one node alone reads it and no other parameter is tied to
/// it.
fn sole_owner(graph: &Graph, value: ValueId) -> Option<usize> {
    let parameters = graph.parameters().iter().enumerate();
    let owners: Vec<usize> =
        parameters.filter(|(_, parameter)| parameter.value == value).map(|(index, _)| index).collect();
    let readers = |value: ValueId| graph.nodes().iter().filter(move |node| node.inputs().contains(&value));
    let is_read_once = match readers(value).collect::<Vec<_>>()[..] {
        [only] => {
            let is_transposition = matches!(only.op.as_str(), "aten::t" | "aten::numpy_T");
            !is_transposition || only.outputs.iter().all(|&output| readers(output).count() == 1)
        }
        _ => false,
    };
    let is_owned =
        matches!(graph.producer(value), Producer::Parameter(_)) && !graph.output().tensors().contains(&value);
    match owners[..] {
        [owner] if is_read_once && is_owned => Some(owner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    fn found(net: &Net) -> Vec<(String, Intercept)> {
        let graph = net.graph();
        let keep: Vec<Vec<u32>> = net.groups().iter().map(|group| (0..group.channels() as u32 / 2).collect()).collect();
        let cut = net.cut(&keep);
        let name = |index: usize| graph.parameters()[index].name.clone();
        consumers(&graph, &cut).into_iter().map(|consumer| (name(consumer.weight), consumer.intercept)).collect()
    }

    fn index(net: &Net, name: &str) -> usize {
        net.graph().parameters().iter().position(|parameter| parameter.name == name).unwrap()
    }

    #[test]
    fn layers_that_read_cut_channels_are_found_in_order_with_the_place_of_their_intercept() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).relu().conv("b", 6, 3, 1).batch_norm("bn").relu();
        net.mean(&[2, 3], false).linear("fc", 10);
        let consumers = found(&net);
        let names: Vec<&str> = consumers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b.weight", "fc.weight"]);
        assert_eq!(consumers[1].1, Intercept::Bias(index(&net, "fc.bias")));
    }

    #[test]
    fn a_depthwise_convolution_sums_over_no_channels() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).conv("depthwise", 8, 3, 8).conv("b", 4, 1, 1);
        let names: Vec<String> = found(&net).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b.weight"]);
    }
}
