//! `split`, `chunk`, `tensor_split`: consecutive runs of a dimension's elements. A cut one becomes `split_with_sizes`.

use super::{Operator, Shapes, fixed_size, place};
use crate::axes::{Axes, Cause, Dim};
use crate::graph::{Argument, Graph, Literal, Node, Size, ValueId};

pub(super) struct Split;

impl Operator for Split {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::split",
            "aten::split_with_sizes",
            "aten::chunk",
            "aten::tensor_split",
            "aten::unsafe_split",
            "aten::unsafe_split_with_sizes",
            "aten::unsafe_chunk",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, along) = place(node, graph)?;
        let dims = axes.dims(input).to_vec();
        let mut start = 0;
        for &output in &node.outputs {
            let mut part = dims.clone();
            if let Dim::Channels(elements) = &dims[along] {
                let size = fixed_size(graph.value(output).shape[along])?;
                part[along] = Dim::Channels(elements[start..start + size].into());
                start += size;
            }
            axes.set(output, part);
        }
        Ok(())
    }

    fn never_empty(&self, node: &Node, graph: &Graph) -> Vec<(ValueId, usize)> {
        let Ok((_, along)) = place(node, graph) else { return Vec::new() };
        node.outputs.iter().map(|&output| (output, along)).collect()
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Ok((input, along)) = place(node, shapes.before) else { return };
        if !shapes.is_cut(input, along) {
            return;
        }
        let sizes: Vec<Size> = node.outputs.iter().map(|&output| shapes.after(output)[along]).collect();
        "aten::split_with_sizes".clone_into(&mut node.op);
        node.overload = String::new();
        node.args = vec![
            Argument::positional("self", Literal::Tensor(input)),
            Argument::positional("split_sizes", Literal::Ints(sizes)),
            Argument::positional("dim", Literal::Int(Size::fixed(along as i64))),
        ];
    }
}

/// `unbind`: every index of a dimension as a tensor of its own, so that none may go.
pub(super) struct Unbind;

impl Operator for Unbind {
    fn names(&self) -> &'static [&'static str] {
        &["aten::unbind"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, along) = place(node, graph)?;
        let mut dims = axes.dims(input).to_vec();
        let reason = axes.reason(Cause::by(node, "makes each of its channels a tensor of its own"));
        axes.freeze(&dims.remove(along), reason);
        for &output in &node.outputs {
            axes.set(output, dims.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, int, ints};

    /// Splits six channels into two and four; each part goes through its own convolution.
    fn split_in_two(op: &str, args: &[(&str, Literal)], sizes: [i64; 2]) -> Net {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let parts = net.apply_list(op, args, &[&[sizes[0], 4, 4], &[sizes[1], 4, 4]]);
        net.at(parts[0]).conv("left", 5, 1, 1);
        let left = net.here();
        net.at(parts[1]).conv("right", 5, 1, 1).add(left).conv("out", 2, 1, 1);
        net
    }

    #[test]
    fn parts_of_a_split_are_cut_each_for_itself_and_their_sizes_follow() {
        for (op, args, sizes) in [
            ("aten::split_with_sizes", vec![("split_sizes", ints(&[2, 4])), ("dim", int(1))], [2, 4]),
            ("aten::split", vec![("split_size", int(4)), ("dim", int(-3))], [4, 2]),
            ("aten::chunk", vec![("chunks", int(2)), ("dim", int(1))], [3, 3]),
            ("aten::tensor_split", vec![("indices", ints(&[2])), ("dim", int(1))], [2, 4]),
        ] {
            let net = split_in_two(op, &args, sizes);
            let groups: Vec<usize> = net.groups().iter().map(|group| group.channels()).collect();
            assert_eq!(groups, [sizes[0] as usize, sizes[1] as usize, 5], "{op}");
            let keep_right: Vec<u32> = (1..sizes[1] as u32).collect();
            let cut = net.cut(&[vec![1], keep_right, vec![0, 1, 2, 3, 4]]);
            let node = &cut.graph.nodes()[1];
            assert_eq!(node.op, "aten::split_with_sizes");
            assert_eq!(node.ints("split_sizes"), Some(&[Size::fixed(1), Size::fixed(sizes[1] - 1)][..]), "{op}");
            let uncut =
                net.cut(&net.groups().iter().map(|group| (0..group.channels() as u32).collect()).collect::<Vec<_>>());
            assert_eq!(uncut.graph.nodes()[1].op, op, "nothing is rewritten without need");
        }
    }

    #[test]
    fn no_part_loses_all_its_channels() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let parts = net.apply_list("aten::chunk", &[("chunks", int(2)), ("dim", int(1))], &[&[3, 4, 4], &[3, 4, 4]]);
        net.at(parts[0]).relu();
        let left = net.here();
        net.at(parts[1]).unary("aten::sigmoid").cat(left).conv("b", 2, 1, 1);
        let groups: Vec<usize> = net.groups().iter().map(|group| group.channels()).collect();
        assert_eq!(groups, [3, 3], "the halves are groups of their own, and no group is ever emptied");
    }

    #[test]
    fn a_concatenation_that_is_split_again_is_as_if_it_had_not_been() {
        let mut net = Net::new(&[3, 4, 4]);
        let input = net.here();
        net.conv("a", 4, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1).cat(a);
        let args = [("split_sizes", ints(&[4, 6])), ("dim", int(1))];
        let parts = net.apply_list("aten::split_with_sizes", &args, &[&[4, 4, 4], &[6, 4, 4]]);
        net.at(parts[0]).conv("c", 5, 1, 1);
        let c = net.here();
        net.at(parts[1]).conv("d", 5, 1, 1).add(c).conv("out", 2, 1, 1);
        let groups = net.groups();
        assert_eq!(groups[0].tensors(), ["a.weight:0", "a.bias:0", "c.weight:1"]);
        assert_eq!(groups[1].tensors(), ["b.weight:0", "b.bias:0", "d.weight:1"]);
    }

    #[test]
    fn an_unbound_dimension_stays_whole_and_the_others_pass() {
        let mut net = Net::new(&[12]);
        net.linear("qkv", 12).view(&[Size::BATCH, Size::fixed(3), Size::fixed(4)]);
        let parts = net.apply_list("aten::unbind", &[("dim", int(1))], &[&[4], &[4], &[4]]);
        net.at(parts[0]).add(parts[1]);
        let sum = net.here();
        net.at(parts[2]).add(sum).linear("out", 2);
        let cut = net.cut(&[vec![0, 3]]);
        assert_eq!(cut.kept.0["qkv.weight"][&0], [0, 3, 4, 7, 8, 11]);
        assert_eq!(cut.kept.0["out.weight"][&1], [0, 3]);
    }
}
