//! Where an axis goes in a step that only moves, cuts out or joins elements.

use crate::graph::{DType, Graph, Literal, Node, Size, ValueId};

/// A batch at which sizes are compared: a prime that no layer has by accident.
const BATCH: i64 = 10_007;

/// Steps that are looked back through from an output.
pub(super) const LONGEST_WAY: usize = 64;

/// Whether a tensor holds numbers that a loss can be taken of.
pub(super) fn is_fractional(dtype: DType) -> bool {
    matches!(dtype, DType::Float32 | DType::Float64 | DType::Float16 | DType::Bfloat16)
}

/// The tensors that a step only moves around; `None` when it computes.
pub(super) fn moved(node: &Node) -> Option<Vec<ValueId>> {
    match node.op.as_str() {
        "aten::alias"
        | "aten::clone"
        | "aten::contiguous"
        | "aten::detach"
        | "aten::dropout"
        | "aten::feature_dropout"
        | "aten::float"
        | "aten::flatten"
        | "aten::narrow"
        | "aten::permute"
        | "aten::reshape"
        | "aten::select"
        | "aten::slice"
        | "aten::squeeze"
        | "aten::t"
        | "aten::to"
        | "aten::transpose"
        | "aten::type_as"
        | "aten::unflatten"
        | "aten::unsqueeze"
        | "aten::view"
        | "aten::_unsafe_view"
        | "aten::_to_copy" => Some(vec![node.tensor("self").or_else(|| node.tensor("input"))?]),
        "aten::cat" | "aten::stack" => match node.arg("tensors") {
            Some(Literal::Tensors(parts)) if !parts.is_empty() => parts.iter().copied().collect(),
            _ => None,
        },
        _ => None,
    }
}

/// The axis of `to` that `axis` of `from` has become whole and alone; `None` where there is none.
pub(super) fn after(graph: &Graph, node: &Node, from: ValueId, to: ValueId, axis: usize) -> Option<usize> {
    let (before, after) = (&graph.value(from).shape, &graph.value(to).shape);
    let rank = before.len();
    let dim = |name: &str| node.int(name).map(|dim| counted(dim, rank));
    match node.op.as_str() {
        "aten::permute" => {
            node.ints("dims")?.iter().position(|size| size.as_fixed().map(|dim| counted(dim, rank)) == Some(axis))
        }
        "aten::transpose" => {
            let (one, other) = (dim("dim0")?, dim("dim1")?);
            Some(if axis == one {
                other
            } else if axis == other {
                one
            } else {
                axis
            })
        }
        "aten::t" => Some(if rank == 2 { 1 - axis } else { axis }),
        "aten::select" => {
            let chosen = dim("dim")?;
            (chosen != axis).then_some(axis - usize::from(chosen < axis))
        }
        "aten::slice" | "aten::narrow" | "aten::cat" => (before[axis] == after[axis]).then_some(axis),
        "aten::stack" | "aten::unsqueeze" => {
            let new = counted(node.int("dim")?, rank + 1);
            Some(axis + usize::from(new <= axis))
        }
        "aten::squeeze" | "aten::flatten" | "aten::reshape" | "aten::unflatten" | "aten::view"
        | "aten::_unsafe_view" => {
            let in_front =
                |shape: &[Size], axis: usize| shape[..axis].iter().map(|size| size.at_batch(BATCH)).product::<i64>();
            let (size, stride) = (before[axis], in_front(before, axis));
            (0..after.len()).find(|&other| after[other] == size && in_front(after, other) == stride)
        }
        _ => Some(axis),
    }
}

/// A dimension that may be counted from the end.
pub(super) fn counted(dim: i64, rank: usize) -> usize {
    let counted = if dim < 0 { dim + rank as i64 } else { dim };
    usize::try_from(counted).unwrap_or(0).min(rank.saturating_sub(1))
}
