//! How a layer multiplies its input with its weights, read from its node.

use crate::graph::{Graph, Literal, Node, Size, ValueId};

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

    /// Whether both lay out a weight in one way.
    pub(super) fn is_laid_out_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Linear { .. }, Self::Linear { .. }) => self == other,
            (Self::Convolution(_), Self::Convolution(_))
            | (Self::TransposedConvolution(_), Self::TransposedConvolution(_)) => self.groups() == other.groups(),
            _ => false,
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

/// How a node multiplies, and what.
pub(super) fn form(graph: &Graph, node: &Node) -> Option<(Form, ValueId)> {
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
