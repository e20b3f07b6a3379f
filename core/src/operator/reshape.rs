//! `flatten`, `view`, `reshape`, `unflatten`, `unsqueeze`: dimensions are regrouped, elements keep their places.
//!
//! Input and output dimensions fall into blocks of equal product; [`regroup`](super::regroup) relates those of one block.
//! A batch that is merged with heads (`[B, h, ..] -> [B * h, ..]`) is the outermost factor on both sides and left out.

use super::regroup::regroup;
use super::{Operator, Shapes, operand, result};
use crate::graph::{Graph, Literal, Node, Size};
use crate::group::{Axes, Dim, Reason};

pub(super) struct Reshape;

/// The batch at which recorded shapes are compared: a prime, so that no other size hides it.
const PROBE_BATCH: i64 = 10_007;

impl Operator for Reshape {
    fn names(&self) -> &'static [&'static str] {
        &["aten::flatten", "aten::view", "aten::reshape", "aten::unflatten", "aten::unsqueeze", "aten::_unsafe_view"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let in_sizes = probe(&graph.value(input).shape);
        let out_sizes = probe(&graph.value(output).shape);
        let in_dims = axes.dims(input).to_vec();
        let mut out_dims = Vec::with_capacity(out_sizes.len());
        for (ins, outs) in blocks(&in_sizes, &out_sizes)? {
            let (mut in_sizes, mut out_sizes) = (in_sizes[ins.clone()].to_vec(), out_sizes[outs].to_vec());
            let in_dims = &in_dims[ins];
            let without_batch = leave_out_batch(&mut in_sizes) == leave_out_batch(&mut out_sizes)
                && !in_sizes.iter().chain(&out_sizes).any(|size| size % PROBE_BATCH as usize == 0);
            if without_batch {
                out_dims.extend(regroup(axes, in_dims, &in_sizes, &out_sizes));
                continue;
            }
            let reason = axes.reason("it is reshaped together with the batch".to_owned());
            in_dims.iter().for_each(|dim| axes.freeze(dim, reason));
            out_dims.extend(vec![Dim::Fixed(Reason::NOT_A_CHANNEL); out_sizes.len()]);
        }
        axes.set(output, out_dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let after = shapes.after(node.outputs[0]).to_vec();
        for name in ["size", "shape"] {
            if let Some(sizes) = node.ints(name)
                && sizes.len() == after.len()
            {
                let inferred = Size::fixed(-1);
                let rewritten =
                    sizes.iter().zip(&after).map(|(&old, &new)| if old == inferred { old } else { new }).collect();
                node.set(name, Literal::Ints(rewritten));
            }
        }
        // `unflatten` lists the sizes of the dimension that it takes apart only.
        if let (Some(sizes), Some(dim)) = (node.ints("sizes"), node.int("dim")) {
            let dim =
                if dim < 0 { dim as isize + after.len() as isize - sizes.len() as isize + 1 } else { dim as isize };
            let parts = after[dim as usize..dim as usize + sizes.len()].to_vec();
            let inferred = Size::fixed(-1);
            let rewritten =
                sizes.iter().zip(parts).map(|(&old, new)| if old == inferred { old } else { new }).collect();
            node.set("sizes", Literal::Ints(rewritten));
        }
    }
}

fn probe(shape: &[Size]) -> Vec<usize> {
    shape.iter().map(|size| size.at_batch(PROBE_BATCH) as usize).collect()
}

type Block = (std::ops::Range<usize>, std::ops::Range<usize>);

/// The smallest runs of input and output dimensions with equal products.
fn blocks(ins: &[usize], outs: &[usize]) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let (mut i, mut o) = (0, 0);
    while i < ins.len() || o < outs.len() {
        let (start_i, start_o) = (i, o);
        let (mut in_product, mut out_product) = (1usize, 1usize);
        if i < ins.len() {
            in_product *= ins[i];
            i += 1;
        }
        if o < outs.len() && !(in_product == 1 && outs[o] != 1) {
            out_product *= outs[o];
            o += 1;
        }
        while in_product != out_product {
            if in_product < out_product && i < ins.len() {
                in_product *= ins[i];
                i += 1;
            } else if in_product > out_product && o < outs.len() {
                out_product *= outs[o];
                o += 1;
            } else {
                return Err(format!("shapes {ins:?} and {outs:?} do not fall into blocks"));
            }
        }
        blocks.push((start_i..i, start_o..o));
    }
    Ok(blocks)
}

/// Takes the batch out of the outermost size that is not one; says whether it was there.
fn leave_out_batch(sizes: &mut [usize]) -> bool {
    match sizes.iter_mut().find(|size| **size != 1) {
        Some(outermost) if *outermost % PROBE_BATCH as usize == 0 => {
            *outermost /= PROBE_BATCH as usize;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Net;

    #[test]
    fn a_flattened_channel_takes_all_its_positions_along() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 3, 3, 1).flatten().linear("fc", 4);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["fc.weight"][&1], (0..16).chain(32..48).collect::<Vec<u32>>());
    }

    #[test]
    fn a_view_with_literal_sizes_is_rewritten() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 3, 3, 1).view(&[Size::BATCH, Size::fixed(48)]).linear("fc", 4);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.graph.nodes()[1].ints("size"), Some(&[Size::BATCH, Size::fixed(32)][..]));
    }

    #[test]
    fn an_inferred_size_stays_inferred() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 3, 3, 1).view(&[Size::BATCH, Size::fixed(-1)]).linear("fc", 4);
        let cut = net.cut(&[vec![1]]);
        assert_eq!(cut.graph.nodes()[1].ints("size"), Some(&[Size::BATCH, Size::fixed(-1)][..]));
    }

    #[test]
    fn a_view_into_groups_couples_the_same_position_of_every_group() {
        let mut net = Net::new(&[3, 4, 4]);
        let sizes = [Size::BATCH, Size::fixed(2), Size::fixed(3), Size::fixed(4), Size::fixed(4)];
        let back = [Size::BATCH, Size::fixed(6), Size::fixed(4), Size::fixed(4)];
        net.conv("a", 6, 3, 1).view(&sizes).view(&back).conv("b", 2, 1, 1);
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["a.weight"][&0], [0, 2, 3, 5]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 2, 3, 5]);
        assert_eq!(cut.graph.nodes()[1].ints("size").unwrap()[2], Size::fixed(2));
        assert_eq!(cut.graph.nodes()[2].ints("size").unwrap()[1], Size::fixed(4));
    }

    #[test]
    fn blocks_are_the_smallest_runs_of_equal_product() {
        let found = blocks(&[10_007, 6, 4, 4], &[10_007, 2, 3, 16]).unwrap();
        assert_eq!(found, [(0..1, 0..1), (1..2, 1..3), (2..4, 3..4)]);
        let squeezed = blocks(&[10_007, 6, 1, 1], &[10_007, 6]).unwrap();
        assert_eq!(squeezed, [(0..1, 0..1), (1..2, 1..2), (2..3, 2..2), (3..4, 2..2)]);
        let unsqueezed = blocks(&[10_007, 6], &[10_007, 1, 6, 1]).unwrap();
        assert_eq!(unsqueezed.last().unwrap().1.end, 4);
    }
}
