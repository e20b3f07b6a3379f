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
    Convolution(Windows),
    /// What of the input meets a place of the output through a kernel `[in, out / groups, ...]`.
    TransposedConvolution(Windows),
}

/// How a convolution's windows lie; those of a transposed one lie on its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// The size by spatial dimension.
    pub kernel: Vec<i64>,
    /// By spatial dimension.
    pub stride: Vec<i64>,
    /// By spatial dimension, before the first place; zeros.
    pub padding: Vec<i64>,
    /// By spatial dimension.
    pub dilation: Vec<i64>,
    /// Groups of channels that do not meet.
    pub groups: i64,
}

impl Form {
    /// The axis of the weight by which the input is read.
    pub fn input_axis(&self) -> usize {
        match self {
            Self::Linear { is_transposed: true } | Self::TransposedConvolution(_) => 0,
            Self::Linear { is_transposed: false } | Self::Convolution(_) => 1,
        }
    }

    /// Groups of channels that do not meet.
    pub fn groups(&self) -> i64 {
        match self {
            Self::Linear { .. } => 1,
            Self::Convolution(windows) | Self::TransposedConvolution(windows) => windows.groups,
        }
    }
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

/// The layers of a cut network whose inputs were cut, in program order; of recurrent stacks only where each layer has its node
/// ([`operator::layer_by_layer`]). Those whose weights other nodes read too are left out, since there is
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
        [
            consumer(own.input, own.input_bias, read, Goal::Product),
            consumer(own.recurrent, own.recurrent_bias, output, states),
        ]
    };
    matrices.iter().enumerate().flat_map(of_direction).flatten().collect()
}

fn consumer(graph: &Graph, cut: &Cut, index: usize, node: &Node) -> Option<Consumer> {
    let (form, input) = form(graph, node)?;
    let factor = || operator::parameter_behind(graph, node.tensor("other")?);
    let parameter = operator::weight(graph, node).or_else(factor)?;
    cut.kept.0.get(&parameter.name)?.get(&form.input_axis())?;
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
        "aten::conv_transpose1d" | "aten::conv_transpose2d" | "aten::conv_transpose3d" => transposed(graph, node),
        "aten::convolution" | "aten::_convolution" if node.bool("transposed") == Some(true) => transposed(graph, node),
        "aten::conv1d"
        | "aten::conv2d"
        | "aten::conv3d"
        | "aten::convolution"
        | "aten::_convolution"
        | "aten::_convolution_mode" => {
            let (windows, input) = windows(graph, node)?;
            Some((Form::Convolution(windows), input))
        }
        _ => None,
    }
}

/// One that sums over channels: with a group for each, it does not.
fn transposed(graph: &Graph, node: &Node) -> Option<(Form, ValueId)> {
    let (windows, input) = windows(graph, node)?;
    let channels = graph.value(node.tensor("weight")?).shape[0].as_fixed()?;
    (channels > windows.groups).then_some((Form::TransposedConvolution(windows), input))
}

fn windows(graph: &Graph, node: &Node) -> Option<(Windows, ValueId)> {
    let (input, weight) = (node.tensor("input")?, node.tensor("weight")?);
    let shape = &graph.value(weight).shape;
    if graph.value(input).shape.len() != shape.len() {
        return None;
    }
    let kernel: Vec<i64> = shape.get(2..)?.iter().map(|size| size.as_fixed()).collect::<Option<_>>()?;
    let numbers = |name: &str, usual: i64| match node.arg(name) {
        Some(Literal::Ints(sizes)) => spread(sizes, kernel.len()),
        Some(_) => None,
        None => Some(vec![usual; kernel.len()]),
    };
    let (stride, dilation) = (numbers("stride", 1)?, numbers("dilation", 1)?);
    let padding = match node.arg("padding") {
        // What does not halve is more at the end.
        Some(Literal::Str(mode)) if mode == "same" => {
            kernel.iter().zip(&dilation).map(|(kernel, dilation)| dilation * (kernel - 1) / 2).collect()
        }
        Some(Literal::Str(mode)) if mode == "valid" => vec![0; kernel.len()],
        _ => numbers("padding", 0)?,
    };
    Some((Windows { kernel, stride, padding, dilation, groups: node.int("groups")? }, input))
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
    use crate::testing::{Net, int, ints};

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

    fn names(net: &Net) -> Vec<String> {
        found(net).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_depthwise_convolution_sums_over_no_channels() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).conv("depthwise", 8, 3, 8).conv("b", 4, 1, 1);
        assert_eq!(names(&net), ["b.weight"]);
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).conv_transpose("depthwise", 8, 2, 8).conv_transpose("b", 4, 2, 2);
        assert_eq!(names(&net), ["b.weight"]);
    }

    #[test]
    fn a_product_with_a_parameter_is_a_layer() {
        let mut net = Net::new(&[12]);
        net.linear("a", 6).relu();
        let other = net.weight("b", &[6, 4]);
        net.apply("aten::matmul", &[("other", other)], &[4]);
        assert_eq!(found(&net), [("b".to_owned(), Intercept::None)]);
    }

    /// `padding="same"` of an even kernel pads one place less in front.
    #[test]
    fn words_for_padding_are_numbers() {
        for (words, padding) in [("same", vec![1, 2]), ("valid", vec![0, 0])] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 8, 3, 1);
            let (input, weight) = (Literal::Tensor(net.here()), net.weight("b", &[4, 8, 4, 3]));
            let args = [
                ("input", input),
                ("weight", weight),
                ("padding", Literal::Str(words.to_owned())),
                ("dilation", ints(&[1, 2])),
                ("groups", int(1)),
            ];
            net.node("b", "aten::conv2d", &args, vec![Size::BATCH, Size::fixed(4), Size::fixed(8), Size::fixed(8)]);
            let cut = net.cut(&[vec![0, 1, 2]]);
            let [Consumer { form: Form::Convolution(windows), .. }] = &consumers(&net.graph(), &cut)[..] else {
                panic!("{words} is not found");
            };
            assert_eq!(windows.padding, padding, "{words}");
        }
    }
}
