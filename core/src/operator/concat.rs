//! Concatenation: the elements of the parts, one after the other.

use super::{Operator, dimension, result};
use crate::graph::{Graph, Literal, Node};
use crate::group::{Axes, Dim};

pub(super) struct Concat;

impl Operator for Concat {
    fn names(&self) -> &'static [&'static str] {
        &["aten::cat", "aten::concat"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let output = result(node)?;
        let Some(Literal::Tensors(parts)) = node.arg("tensors") else {
            return Err("the list of tensors is not known".to_owned());
        };
        let parts: Vec<_> = parts.iter().flatten().copied().collect();
        let rank = graph.value(output).shape.len();
        let along = dimension(node.int("dim").ok_or("the dimension is not a constant")?, rank)?;
        let Some((&first, rest)) = parts.split_first() else {
            return Err("the list of tensors is empty".to_owned());
        };
        let mut dims = axes.dims(first).to_vec();
        for &part in rest {
            for (dim, other) in axes.dims(part).to_vec().iter().enumerate() {
                if dim != along {
                    dims[dim] = axes.unify(&dims[dim], other)?;
                }
            }
        }
        let mut elements = Vec::new();
        for &part in &parts {
            let size = graph.value(part).shape[along];
            let size = size.as_fixed().ok_or("the concatenated dimension grows with the batch")?;
            let dim = axes.dims(part)[along].clone();
            elements.extend_from_slice(&axes.elements(&dim, size as usize));
        }
        dims[along] = Dim::Channels(elements.into());
        axes.set(output, dims);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Net;

    #[test]
    fn concatenated_channels_stay_independent_and_keep_their_places() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1).cat(a).conv("c", 5, 1, 1);
        let groups = net.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].tensors(), ["a.weight:0", "a.bias:0", "c.weight:1"]);
        let cut = net.cut(&[vec![0, 3], vec![2]]);
        assert_eq!(cut.kept.0["c.weight"][&1], [0, 3, 4 + 2]);
    }

    #[test]
    fn a_cascade_of_concatenations_is_one_long_list() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1);
        let a = net.here();
        net.at(input).conv("b", 6, 3, 1).cat(a);
        let ab = net.here();
        net.at(input).conv("c", 2, 3, 1).cat(ab).conv("d", 5, 1, 1);
        let cut = net.cut(&[vec![0], vec![5], vec![1]]);
        assert_eq!(cut.kept.0["d.weight"][&1], [0, 4 + 5, 4 + 6 + 1]);
    }

    #[test]
    fn the_models_input_beside_channels_stays_whole() {
        let mut net = Net::new(&[3, 8, 8]);
        let input = net.here();
        net.conv("a", 4, 3, 1).cat(input).conv("b", 5, 1, 1);
        let cut = net.cut(&[vec![2]]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 1, 2, 3 + 2]);
    }
}
