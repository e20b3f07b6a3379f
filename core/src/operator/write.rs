//! `slice_scatter`: what the importer makes of a write into every n-th index of a dimension.

use super::{Operator, dimension, operand, result};
use crate::axes::{Axes, Cause, Dim};
use crate::graph::{Graph, Node};

/// That dimension stays as it is, the others of both tensors go together.
pub(super) struct Scatter;

impl Operator for Scatter {
    fn names(&self) -> &'static [&'static str] {
        &["aten::slice_scatter"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (base, part, output) = (operand(node, "self")?, operand(node, "src")?, result(node)?);
        let (mut dims, part) = (axes.dims(base).to_vec(), axes.dims(part).to_vec());
        let scattered = dimension(node.int("dim").ok_or("its dimension is not a constant")?, dims.len())?;
        let reason = match dims[scattered] {
            Dim::Fixed(reason) => reason,
            Dim::Channels(_) => axes.reason(Cause::by(node, "overwrites some of its channels")),
        };
        axes.freeze(&dims[scattered], reason);
        axes.freeze(&part[scattered], reason);
        for (dim, (of_base, of_part)) in dims.iter_mut().zip(&part).enumerate() {
            *of_base = if dim == scattered { Dim::Fixed(reason) } else { axes.unify(of_base, of_part)? };
        }
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size, ValueId};
    use crate::testing::{Net, int};

    /// Appends a write of `part` into every `step`-th index of a dimension of the current end, which is 8x8.
    fn scatter(net: &mut Net, part: ValueId, dim: i64, step: i64) {
        let args = [
            ("self", Literal::Tensor(net.here())),
            ("src", Literal::Tensor(part)),
            ("dim", int(dim)),
            ("start", int(0)),
            ("end", int(8)),
            ("step", int(step)),
        ];
        net.node("", "aten::slice_scatter", &args, vec![Size::BATCH, Size::fixed(6), Size::fixed(8), Size::fixed(8)]);
    }

    #[test]
    fn rows_that_are_overwritten_leave_the_channels_prunable() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("rows", 6, 3, 1);
        let part = net.here();
        net.at(input).conv("a", 6, 3, 1);
        scatter(&mut net, part, 2, 1);
        net.conv("b", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].tensors(), ["rows.weight:0", "rows.bias:0", "a.weight:0", "a.bias:0", "b.weight:1"]);
    }

    #[test]
    fn channels_of_which_some_are_overwritten_stay() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("part", 3, 3, 1);
        let part = net.here();
        net.at(input).conv("a", 6, 3, 1);
        scatter(&mut net, part, 1, 2);
        net.conv("b", 4, 1, 1).conv("c", 4, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].tensors(), ["b.weight:0", "b.bias:0", "c.weight:1"]);
    }
}
