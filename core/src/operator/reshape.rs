//! `flatten`, `view`, `reshape`, `unflatten`, `unsqueeze`: dimensions are regrouped, elements keep their places.
//!
//! `view_as` and `reshape_as` take a tensor's shape and nothing else of it, so that they do not couple it; where it is not cut
//! like the output, they become `view` and `reshape` with the sizes in numbers.
//! Input and output dimensions fall into blocks of equal product; [`regroup`](super::regroup) relates those of one block.
//! A dimension that grows with the batch is taken apart first: the batch, which is never cut, and what it has for each sample. So heads
//! are followed into the batch and out of it, in `[B, h, ..] -> [B * h, ..]` and in `[n, B * h, d] -> [n * B, h * d]` alike.

use super::regroup::regroup;
use super::{Operator, Shapes, operand, result};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Argument, Graph, Literal, Node, Size};

pub(super) struct Reshape;

/// The batch at which recorded shapes are compared: a prime, so that no other size hides it.
const PROBE_BATCH: i64 = 10_007;

impl Operator for Reshape {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::flatten",
            "aten::view",
            "aten::reshape",
            "aten::unflatten",
            "aten::unsqueeze",
            "aten::view_as",
            "aten::reshape_as",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let ins = factors(&graph.value(input).shape);
        let outs = factors(&graph.value(output).shape);
        let in_dims = axes.dims(input).to_vec();
        let of_factor = |factor: &Factor| match factor.part {
            Part::Batch => Dim::Fixed(Reason::NOT_A_CHANNEL),
            Part::Whole | Part::Sample => in_dims[factor.dim].clone(),
        };
        let mut out_dims = vec![Dim::Fixed(Reason::NOT_A_CHANNEL); graph.value(output).shape.len()];
        for (in_factors, out_factors) in blocks(&sizes(&ins), &sizes(&outs))? {
            let (in_factors, out_factors) = (&ins[in_factors], &outs[out_factors]);
            let in_dims: Vec<Dim> = in_factors.iter().map(of_factor).collect();
            let found = if in_factors.iter().chain(out_factors).any(|factor| factor.part == Part::Batch) {
                let reason = axes.reason(Cause::ReshapedWithBatch);
                for dim in &in_dims {
                    axes.freeze(dim, reason);
                }
                vec![Dim::Fixed(Reason::NOT_A_CHANNEL); out_factors.len()]
            } else {
                regroup(axes, &in_dims, &sizes(in_factors), &sizes(out_factors))
            };
            for (factor, dim) in out_factors.iter().zip(found).filter(|(factor, _)| factor.part != Part::Batch) {
                out_dims[factor.dim] = dim;
            }
        }
        axes.set(output, out_dims);
        Ok(())
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let after = shapes.after(node.outputs[0]).to_vec();
        if let (Some(input), Some(other)) = (node.tensor("self"), node.tensor("other")) {
            if shapes.after(other) != after {
                let is_view = node.op == "aten::view_as";
                let (op, sizes) = if is_view { ("aten::view", "size") } else { ("aten::reshape", "shape") };
                op.clone_into(&mut node.op);
                node.args = vec![
                    Argument::positional("self", Literal::Tensor(input)),
                    Argument::positional(sizes, Literal::Ints(after)),
                ];
            }
            return;
        }
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

/// What of a dimension a factor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// The batch itself: the outer factor of a dimension that grows with it, of which no index can go.
    Batch,
    /// What such a dimension has for each sample.
    Sample,
}

/// A dimension, or one of the two factors of one that grows with the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Factor {
    dim: usize,
    size: usize,
    part: Part,
}

fn factors(shape: &[Size]) -> Vec<Factor> {
    let of_dimension = |(dim, size): (usize, &Size)| {
        let (size, batch) = (size.at_batch(PROBE_BATCH) as usize, PROBE_BATCH as usize);
        let factor = |size, part| Factor { dim, size, part };
        match size / batch {
            0 => vec![factor(size, Part::Whole)],
            _ if size % batch != 0 => vec![factor(size, Part::Whole)],
            1 => vec![factor(batch, Part::Batch)],
            per_sample => vec![factor(batch, Part::Batch), factor(per_sample, Part::Sample)],
        }
    };
    shape.iter().enumerate().flat_map(of_dimension).collect()
}

fn sizes(factors: &[Factor]) -> Vec<usize> {
    factors.iter().map(|factor| factor.size).collect()
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
    fn heads_are_followed_into_the_batch_and_out_of_it_where_it_is_not_the_first() {
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6).transpose(0, 1);
        let batch = |per_sample: i64| Size { per_sample, fixed: 0 };
        net.view(&[Size::fixed(5), batch(2), Size::fixed(3)]).unary("aten::relu");
        net.view(&[batch(5), Size::fixed(6)]).linear("b", 4);
        let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        assert_eq!(groups, [["a.weight:0", "a.bias:0", "b.weight:1"]]);
        assert_eq!(net.groups()[0].channels(), 3, "of two heads, which nothing tells apart");
        let cut = net.cut(&[vec![0, 2]]);
        assert_eq!(cut.kept.0["b.weight"][&1], [0, 2, 3, 5]);
        assert_eq!(cut.graph.nodes()[2].ints("size"), Some(&[Size::fixed(5), batch(2), Size::fixed(2)][..]));
        assert_eq!(cut.graph.nodes()[4].ints("size"), Some(&[batch(5), Size::fixed(4)][..]));
    }

    #[test]
    fn channels_that_are_mixed_with_the_batch_stay() {
        let mut net = Net::new(&[5, 12]);
        net.linear("a", 6).transpose(0, 2);
        net.view(&[Size { per_sample: 6, fixed: 0 }, Size::fixed(5)]).linear("b", 4);
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("reshaped together with the batch"));
    }

    #[test]
    fn the_shape_of_another_tensor_becomes_numbers_where_that_one_is_cut_otherwise() {
        for (op, numbers) in [("aten::view_as", "aten::view"), ("aten::reshape_as", "aten::reshape")] {
            let mut net = Net::new(&[3, 4, 4]);
            let input = net.here();
            net.conv("like", 6, 3, 1);
            let like = net.here();
            net.at(input).conv("a", 6, 3, 1).view(&[Size::BATCH, Size::fixed(6), Size::fixed(16)]);
            net.apply(op, &[("other", Literal::Tensor(like))], &[6, 4, 4]).conv("b", 5, 1, 1);
            let b = net.here();
            net.at(like).conv("c", 5, 1, 1).add(b).conv("out", 2, 1, 1);
            let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
            assert_eq!(groups[0], ["like.weight:0", "like.bias:0", "c.weight:1"]);
            assert_eq!(groups[1], ["a.weight:0", "a.bias:0", "b.weight:1"], "a shape couples nothing");
            let all = |channels: u32| (0..channels).collect::<Vec<u32>>();
            let same = net.cut(&[vec![0, 5], vec![1, 2], all(5)]);
            assert_eq!(same.graph.nodes()[3].op, op, "nothing is rewritten without need");
            let cut = net.cut(&[all(6), vec![1, 2], all(5)]);
            let node = &cut.graph.nodes()[3];
            let sizes = [Size::BATCH, Size::fixed(2), Size::fixed(4), Size::fixed(4)];
            assert_eq!((node.op.as_str(), node.args[1].value.clone()), (numbers, Literal::Ints(sizes.to_vec())));
        }
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
