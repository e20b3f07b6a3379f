//! `flatten`, `view`, `reshape`, `unflatten`, `squeeze`, `unsqueeze`: dimensions are regrouped, elements keep their places.
//!
//! Input and output dimensions fall into blocks of equal product. Inside a block every flat position carries the channel that
//! its input coordinates name; an output dimension takes over the channels when its slices do. Of several
//! output dimensions that could, the one with the most independent slices does (in a channel shuffle's first view,
//! the positions inside a group rather than the groups).

use std::collections::HashMap;
use std::rc::Rc;

use super::{Operator, Shapes, operand, result};
use crate::graph::{Graph, Literal, Node, Size};
use crate::group::axes::Element;
use crate::group::{Axes, Dim, Reason};

pub(super) struct Reshape;

/// The batch at which recorded shapes are compared: a prime, so that no other size hides it.
const PROBE_BATCH: i64 = 10_007;

/// Blocks with more positions than this are not followed; their channels become unprunable.
const MAX_POSITIONS: usize = 1 << 26;

impl Operator for Reshape {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::flatten",
            "aten::view",
            "aten::reshape",
            "aten::unflatten",
            "aten::squeeze",
            "aten::unsqueeze",
            "aten::_unsafe_view",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let in_sizes = probe(&graph.value(input).shape);
        let out_sizes = probe(&graph.value(output).shape);
        let in_dims = axes.dims(input).to_vec();
        let mut out_dims = Vec::with_capacity(out_sizes.len());
        for (ins, outs) in blocks(&in_sizes, &out_sizes)? {
            out_dims.extend(regroup(axes, &in_dims[ins.clone()], &in_sizes[ins], &out_sizes[outs])?);
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

/// The output dimensions of one block.
fn regroup(axes: &mut Axes, ins: &[Dim], in_sizes: &[usize], out_sizes: &[usize]) -> Result<Vec<Dim>, String> {
    let fixed = ins
        .iter()
        .find_map(|dim| match dim {
            Dim::Fixed(reason) if reason.is_news() => Some(*reason),
            _ => None,
        })
        .unwrap_or(Reason::NOT_A_CHANNEL);
    let mut outs = vec![Dim::Fixed(fixed); out_sizes.len()];

    let carriers: Vec<usize> = (0..ins.len()).filter(|&dim| matches!(ins[dim], Dim::Channels(_))).collect();
    // Of several channel dimensions that are merged into one block, the widest stays prunable.
    let Some(&carrier) = carriers.iter().max_by_key(|&&dim| in_sizes[dim]) else { return Ok(outs) };
    let merged = axes.reason("it is reshaped together with another channel dimension".to_owned());
    for &other in carriers.iter().filter(|&&other| other != carrier && in_sizes[other] > 1) {
        axes.freeze(&ins[other], merged);
    }
    let Dim::Channels(elements) = &ins[carrier] else { unreachable!("carriers are channel dimensions") };
    if let (Some(same), true) =
        (out_sizes.iter().position(|&size| size == in_sizes[carrier]), significant(in_sizes) == 1)
    {
        // Only dimensions of size one come or go.
        outs[same] = ins[carrier].clone();
        return Ok(outs);
    }

    let positions: usize = in_sizes.iter().product();
    if positions > MAX_POSITIONS {
        let reason = axes.reason(format!("it is reshaped in a block of {positions} positions, too many to follow"));
        axes.freeze(&ins[carrier], reason);
        return Ok(outs);
    }
    if out_sizes.is_empty() {
        // A single channel is squeezed away; it is the last of its group anyway.
        axes.freeze(&ins[carrier], Reason::NOT_A_CHANNEL);
        return Ok(outs);
    }
    let in_stride: usize = in_sizes[carrier + 1..].iter().product();
    let channel_at = |position: usize| elements[(position / in_stride) % elements.len()];

    let mut best: Option<(usize, Vec<Vec<Element>>, usize)> = None;
    for (dim, &size) in out_sizes.iter().enumerate() {
        let stride: usize = out_sizes[dim + 1..].iter().product();
        let mut slices: Vec<Vec<Element>> = vec![Vec::new(); size];
        for position in 0..positions {
            let slice = &mut slices[(position / stride) % size];
            let channel = channel_at(position);
            if slice.last() != Some(&channel) && !slice.contains(&channel) {
                slice.push(channel);
            }
        }
        let independent = independent_slices(&slices);
        if best.as_ref().is_none_or(|(_, _, most)| independent > *most) {
            best = Some((dim, slices, independent));
        }
    }
    let (dim, slices, _) = best.expect("there is at least one output dimension");
    let mut labels = Vec::with_capacity(slices.len());
    for slice in &slices {
        let (&first, rest) = slice.split_first().expect("every slice has at least one position");
        for &other in rest {
            axes.unify_elements(first, other);
        }
        labels.push(first);
    }
    outs[dim] = Dim::Channels(Rc::from(labels));
    Ok(outs)
}

fn significant(sizes: &[usize]) -> usize {
    sizes.iter().filter(|&&size| size > 1).count()
}

/// How many classes of channels remain when each slice's channels are unified.
fn independent_slices(slices: &[Vec<Element>]) -> usize {
    let mut parent: HashMap<Element, Element> = HashMap::new();
    fn find(parent: &mut HashMap<Element, Element>, element: Element) -> Element {
        let up = *parent.entry(element).or_insert(element);
        if up == element {
            return element;
        }
        let root = find(parent, up);
        parent.insert(element, root);
        root
    }
    for slice in slices {
        let root = find(&mut parent, slice[0]);
        for &element in &slice[1..] {
            let other = find(&mut parent, element);
            parent.insert(other, root);
        }
    }
    let elements: Vec<Element> = parent.keys().copied().collect();
    elements.into_iter().filter(|&element| find(&mut parent, element) == element).count()
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
