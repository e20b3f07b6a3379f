//! Padding: of spatial dimensions it is nobody's business, of channels it lists new ones before and after.

use super::{Operator, Shapes, operand, result};
use crate::axes::{Axes, Cause, Dim};
use crate::graph::{Graph, Literal, Node, Size};

pub(super) struct Pad;

impl Operator for Pad {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::pad",
            "aten::constant_pad_nd",
            "aten::reflection_pad1d",
            "aten::reflection_pad2d",
            "aten::reflection_pad3d",
            "aten::replication_pad1d",
            "aten::replication_pad2d",
            "aten::replication_pad3d",
            "aten::_pad_circular",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let mut dims = axes.dims(input).to_vec();
        for (dim, [before, after]) in amounts(node, dims.len())?.into_iter().enumerate() {
            let Dim::Channels(elements) = &dims[dim] else { continue };
            if [before, after] == [0, 0] {
                continue;
            }
            let grows = graph.value(input).shape[dim].as_fixed().is_none();
            if before < 0 || after < 0 || grows || !is_constant(node) {
                let reason = axes.reason(Cause::by(node, "pads its channels with their own values"));
                axes.freeze(&dims[dim], reason);
                dims[dim] = Dim::Fixed(reason);
                continue;
            }
            // What is padded has no weights, so it may be cut as whoever meets it is.
            let mut padded = Vec::new();
            let (first, last) = (axes.fresh(before as usize), axes.fresh(after as usize));
            for part in [&first, &Dim::Channels(elements.clone()), &last] {
                if let Dim::Channels(elements) = part {
                    padded.extend_from_slice(elements);
                }
            }
            dims[dim] = Dim::Channels(padded.into());
        }
        axes.set(output, dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let (output, name) = (node.outputs[0], list_name(node));
        let (Some(mut list), Ok(amounts)) =
            (node.ints(name).map(<[Size]>::to_vec), amounts(node, shapes.after(output).len()))
        else {
            return;
        };
        let rank = amounts.len();
        for (dim, [before, after]) in amounts.into_iter().enumerate() {
            if [before, after] == [0, 0] || !shapes.is_cut(output, dim) {
                continue;
            }
            let size = shapes.before.value(output).shape[dim].fixed as usize;
            let remaining = |index| shapes.remaining_before(output, dim, index) as i64;
            let place = 2 * (rank - 1 - dim);
            list[place] = Size::fixed(remaining(before as usize));
            list[place + 1] = Size::fixed(remaining(size) - remaining(size - after as usize));
        }
        node.set(name, Literal::Ints(list));
    }
}

fn is_constant(node: &Node) -> bool {
    match node.arg("mode") {
        Some(Literal::Str(mode)) => mode == "constant",
        _ => super::functional_name(&node.op) == "aten::constant_pad_nd",
    }
}

fn list_name(node: &Node) -> &'static str {
    if node.arg("pad").is_some() { "pad" } else { "padding" }
}

/// For each dimension, what is added before and after; the argument lists them from the last dimension on.
fn amounts(node: &Node, rank: usize) -> Result<Vec<[i64; 2]>, String> {
    let list = node.ints(list_name(node)).ok_or("the padding is not a constant")?;
    let mut amounts = vec![[0, 0]; rank];
    for (index, pair) in list.chunks_exact(2).enumerate() {
        let dim = rank.checked_sub(index + 1).ok_or("more dimensions are padded than there are")?;
        amounts[dim] = [pair[0].as_fixed(), pair[1].as_fixed()].map(|size| size.unwrap_or(i64::MIN));
    }
    Ok(amounts)
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, ints};

    #[test]
    fn spatial_padding_hands_the_channels_on() {
        for (op, name) in [("aten::constant_pad_nd", "pad"), ("aten::reflection_pad2d", "padding")] {
            let mut net = Net::new(&[3, 4, 4]);
            net.conv("a", 6, 3, 1).apply(op, &[(name, ints(&[1, 1, 2, 2]))], &[6, 8, 6]).conv("b", 4, 1, 1);
            assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"], "{op}");
        }
    }

    /// The parameter-free shortcut of the CIFAR ResNets: new channels are zeros around the old ones.
    #[test]
    fn padded_channels_are_cut_with_the_branch_that_they_meet() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 4, 3, 1);
        let stream = net.here();
        let mode = Literal::Str("constant".to_owned());
        net.apply("aten::pad", &[("pad", ints(&[0, 0, 0, 0, 2, 3])), ("mode", mode)], &[9, 4, 4]);
        let shortcut = net.here();
        net.at(stream).conv("b", 9, 3, 1).add(shortcut).conv("c", 2, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.iter().map(|group| group.channels()).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(groups[1].tensors(), ["b.weight:0", "b.bias:0", "c.weight:1"], "the padded ones");
        let cut = net.cut(&[vec![0, 3], vec![1, 2, 4]]);
        assert_eq!(cut.kept.0["b.weight"][&0], [1, 2, 5, 6, 8]);
        assert_eq!(cut.graph.nodes()[1].ints("pad").unwrap(), [0, 0, 0, 0, 1, 2].map(Size::fixed));
    }

    #[test]
    fn channels_are_not_reflected() {
        let mut net = Net::new(&[3, 4, 4]);
        let mode = Literal::Str("reflect".to_owned());
        net.conv("a", 6, 3, 1);
        net.apply("aten::pad", &[("pad", ints(&[0, 0, 0, 0, 2, 0])), ("mode", mode)], &[8, 4, 4]).conv("b", 4, 1, 1);
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("pads its channels with their own values"));
    }
}
