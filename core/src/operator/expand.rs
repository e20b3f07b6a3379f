//! `expand` and `repeat`: a dimension of one index becomes one of many, which are cut as whoever meets them is.

use super::{Operator, Shapes, dimension, fixed_size, operand, result};
use crate::axes::{Axes, Dim, Reason};
use crate::graph::{Graph, Literal, Node, Size};

pub(super) struct Expand;

impl Operator for Expand {
    fn names(&self) -> &'static [&'static str] {
        &["aten::expand", "aten::broadcast_to", "aten::expand_as"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let (from, to) = (graph.value(input).shape.clone(), graph.value(output).shape.clone());
        let in_dims = axes.dims(input).to_vec();
        // `expand_as` takes its sizes from another tensor, and with them what may be cut.
        let other = node.tensor("other").map(|other| axes.dims(other).to_vec());
        let missing = to.len() - from.len();
        let mut dims = Vec::with_capacity(to.len());
        for (place, &size) in to.iter().enumerate() {
            let passed = place.checked_sub(missing).filter(|&dim| from[dim] == size).map(|dim| in_dims[dim].clone());
            dims.push(match (passed, &other) {
                (Some(dim), None) => dim,
                (Some(dim), Some(other)) => axes.unify(&dim, &other[place])?,
                (None, Some(other)) => other[place].clone(),
                (None, None) => copies(size, axes),
            });
        }
        axes.set(output, dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Some(sizes) = node.ints("size") else { return };
        let unchanged = Size::fixed(-1);
        let after = shapes.after(node.outputs[0]);
        let sizes = sizes.iter().zip(after).map(|(&old, &new)| if old == unchanged { old } else { new }).collect();
        node.set("size", Literal::Ints(sizes));
    }
}

/// A dimension whose indices are all alike: any number of them may go.
fn copies(size: Size, axes: &mut Axes) -> Dim {
    match size.as_fixed() {
        Some(size) => axes.fresh(size as usize),
        None => Dim::Fixed(Reason::NOT_A_CHANNEL),
    }
}

/// `repeat` and `tile` list a dimension's elements several times over.
pub(super) struct Repeat;

impl Operator for Repeat {
    fn names(&self) -> &'static [&'static str] {
        &["aten::repeat", "aten::tile"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let (from, to) = (graph.value(input).shape.clone(), graph.value(output).shape.clone());
        let in_dims = axes.dims(input).to_vec();
        let missing = to.len() - from.len();
        let mut dims = Vec::with_capacity(to.len());
        for (place, &size) in to.iter().enumerate() {
            let repeated = place.checked_sub(missing).filter(|&dim| from[dim] != Size::fixed(1) || from[dim] == size);
            dims.push(match repeated.map(|dim| (&in_dims[dim], from[dim])) {
                None => copies(size, axes),
                Some((Dim::Channels(elements), _)) => {
                    let times = fixed_size(size)? / elements.len();
                    Dim::Channels(elements.iter().copied().cycle().take(elements.len() * times).collect())
                }
                Some((fixed, _)) => fixed.clone(),
            });
        }
        axes.set(output, dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Some(input) = node.tensor("self") else { return };
        let name = if node.arg("repeats").is_some() { "repeats" } else { "dims" };
        let Some(mut times) = node.ints(name).map(<[Size]>::to_vec) else { return };
        let from = &shapes.before.value(input).shape;
        let after = shapes.after(node.outputs[0]);
        // Sizes are aligned at the end; only copies of one index are fewer than they were.
        for (index, (size, times)) in after.iter().rev().zip(times.iter_mut().rev()).enumerate() {
            if from.len().checked_sub(index + 1).is_none_or(|dim| from[dim] == Size::fixed(1)) {
                *times = *size;
            }
        }
        node.set(name, Literal::Ints(times));
    }
}

/// `repeat_interleave` by a number: every element several times, one after the other.
pub(super) struct Interleave;

impl Operator for Interleave {
    fn names(&self) -> &'static [&'static str] {
        &["aten::repeat_interleave"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let mut dims = axes.dims(input).to_vec();
        let along = dimension(node.int("dim").ok_or("the tensor is flattened before it is repeated")?, dims.len())?;
        if let Dim::Channels(elements) = &dims[along] {
            let times = fixed_size(graph.value(output).shape[along])? / elements.len();
            let repeated = elements.iter().flat_map(|&element| std::iter::repeat_n(element, times));
            dims[along] = Dim::Channels(repeated.collect());
        }
        axes.set(output, dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let (Some(Literal::Int(_)), Some(along)) = (node.arg("output_size"), node.int("dim")) else { return };
        let after = shapes.after(node.outputs[0]);
        let Ok(along) = dimension(along, after.len()) else { return };
        node.set("output_size", Literal::Int(after[along]));
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, int, ints};

    #[test]
    fn a_map_that_is_expanded_to_the_channels_follows_them() {
        let mut net = Net::new(&[3, 4, 4]);
        let input = net.here();
        net.conv("map", 1, 3, 1).apply("aten::expand", &[("size", ints(&[-1, 6, -1, -1]))], &[6, 4, 4]);
        let map = net.here();
        net.at(input).conv("a", 6, 3, 1).mul(map).conv("b", 2, 1, 1);
        let group = net.groups().iter().position(|group| group.channels() == 6).unwrap();
        let keep: Vec<Vec<u32>> =
            net.groups().iter().map(|group| if group.channels() == 6 { vec![0, 4] } else { vec![0] }).collect();
        assert_eq!(net.groups()[group].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
        let cut = net.cut(&keep);
        assert_eq!(cut.graph.nodes()[1].ints("size").unwrap(), [-1, 2, -1, -1].map(Size::fixed));
    }

    #[test]
    fn what_is_expanded_like_another_tensor_is_cut_like_it() {
        let mut net = Net::new(&[3, 4, 4]);
        let input = net.here();
        net.conv("a", 6, 3, 1);
        let a = net.here();
        net.at(input).conv("map", 1, 3, 1).apply("aten::expand_as", &[("other", Literal::Tensor(a))], &[6, 4, 4]);
        net.conv("b", 2, 1, 1);
        let groups = net.groups();
        assert!(groups.iter().any(|group| group.tensors() == ["a.weight:0", "a.bias:0", "b.weight:1"]));
    }

    #[test]
    fn repeated_channels_go_with_all_their_copies() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 3, 3, 1).apply("aten::repeat", &[("repeats", ints(&[1, 2, 1, 1]))], &[6, 4, 4]);
        net.conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 2, 3, 5]);
        assert_eq!(cut.graph.nodes()[1].ints("repeats").unwrap(), [1, 2, 1, 1].map(Size::fixed));

        let mut net = Net::new(&[3, 4, 4]);
        let args = [("repeats", int(2)), ("dim", int(1)), ("output_size", int(6))];
        net.conv("a", 3, 3, 1).apply("aten::repeat_interleave", &args, &[6, 4, 4]).conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 1, 4, 5]);
        assert_eq!(cut.graph.nodes()[1].int("output_size"), Some(4));
    }

    #[test]
    fn a_single_channel_is_repeated_as_often_as_needed() {
        let mut net = Net::new(&[3, 4, 4]);
        let input = net.here();
        net.conv("map", 1, 3, 1).apply("aten::repeat", &[("repeats", ints(&[1, 6, 1, 1]))], &[6, 4, 4]);
        let map = net.here();
        net.at(input).conv("a", 6, 3, 1).mul(map).conv("b", 2, 1, 1);
        let keep: Vec<Vec<u32>> =
            net.groups().iter().map(|group| if group.channels() == 6 { vec![1] } else { vec![0] }).collect();
        let cut = net.cut(&keep);
        assert_eq!(cut.graph.nodes()[1].ints("repeats").unwrap(), [1, 1, 1, 1].map(Size::fixed));
    }

    #[test]
    fn a_class_token_joins_the_positions_and_shares_the_width() {
        let mut net = Net::new(&[4, 3]);
        net.linear("embed", 6);
        let patches = net.here();
        let token = net.weight("token", &[1, 1, 6]);
        let Literal::Tensor(token) = token else { unreachable!("a weight is a tensor") };
        net.at(token).apply("aten::expand", &[("size", ints(&[2, -1, -1]))], &[1, 6]);
        let token = net.here();
        net.at(patches).cat(token);
        let position = net.weight("position", &[1, 5, 6]);
        net.apply("aten::add", &[("other", position)], &[5, 6]).linear("out", 2);
        let widths: Vec<Vec<String>> =
            net.groups().into_iter().filter(|group| group.channels() > 1).map(|group| group.tensors()).collect();
        assert_eq!(widths, [["embed.weight:0", "embed.bias:0", "token:2", "position:2", "out.weight:1"]]);
    }
}
