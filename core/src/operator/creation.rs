//! Tensors made from sizes. Where all indices are alike (`zeros`, `ones`, `full`), they are cut as whoever meets them is.

use super::{Operator, Shapes, result};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Graph, Literal, Node};

pub(super) struct Filled;

impl Operator for Filled {
    fn names(&self) -> &'static [&'static str] {
        &["aten::zeros", "aten::ones", "aten::full", "aten::new_zeros", "aten::new_ones", "aten::new_full"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let dims = graph.value(output).shape.iter().map(|size| match size.as_fixed() {
            Some(size) => axes.fresh(size as usize),
            None => Dim::Fixed(Reason::NOT_A_CHANNEL),
        });
        let dims = dims.collect();
        axes.set(output, dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        node.set("size", Literal::Ints(shapes.after(node.outputs[0]).to_vec()));
    }
}

/// `arange` and the like: every index has a number of its own, so that none may go.
pub(super) struct Numbered;

impl Operator for Numbered {
    fn names(&self) -> &'static [&'static str] {
        &["aten::arange", "aten::linspace", "aten::eye", "aten::scalar_tensor"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let reason = axes.reason(Cause::by(node, "gives each of its channels a value of its own"));
        axes.set(output, vec![Dim::Fixed(reason); graph.value(output).shape.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::Net;

    #[test]
    fn concatenated_zeros_are_cut_with_the_branch_that_they_meet() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 4, 3, 1);
        let stream = net.here();
        let shape = [Size::BATCH, Size::fixed(2), Size::fixed(4), Size::fixed(4)];
        net.node("", "aten::zeros", &[("size", Literal::Ints(shape.to_vec()))], shape.to_vec()).cat(stream);
        let shortcut = net.here();
        net.at(stream).conv("b", 6, 3, 1).add(shortcut).conv("c", 2, 1, 1);
        assert_eq!(net.groups().iter().map(|group| group.channels()).collect::<Vec<_>>(), [4, 2]);
        let cut = net.cut(&[vec![0, 3], vec![1]]);
        assert_eq!(cut.graph.nodes()[1].ints("size").unwrap()[1], Size::fixed(1));
        assert_eq!(cut.kept.0["b.weight"][&0], [0, 3, 5]);
    }

    #[test]
    fn numbered_channels_stay() {
        let mut net = Net::new(&[12]);
        net.linear("a", 6);
        let a = net.here();
        net.node("", "aten::arange", &[("end", crate::testing::int(6))], vec![Size::fixed(6)]);
        let numbers = Literal::Tensor(net.here());
        net.at(a).apply("aten::add", &[("other", numbers)], &[6]).linear("b", 2);
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("gives each of its channels a value"));
    }
}
