//! `scaled_dot_product_attention`: `softmax(q kᵀ · scale + mask) v` with heads among the leading dimensions.
//!
//! Queries and keys lose the same head dimensions, values theirs by themselves; heads go in all three. The default scale is one
//! over the root of the head dimension: when that shrinks, the original number becomes a literal, so that the scores
//! stay what they were.

use super::product::{FIRST_BATCH, Label, Labels, batch, unify_broadcast};
use super::{Macs, Operator, Shapes, operand, result};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Graph, Literal, Node, Size};

pub(super) struct Attention;

const QUERIES: Label = 0;
const KEYS: Label = 1;
const HEAD_DIM: Label = 2;
const VALUE_DIM: Label = 3;

impl Operator for Attention {
    fn names(&self) -> &'static [&'static str] {
        &["aten::scaled_dot_product_attention"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let labels = labels(node, graph)?;
        let reason = axes.reason(Cause::by(node, "normalises over its channels"));
        for (operand, own) in &labels.operands {
            let whole = |label: &Label| *label == KEYS || (*label == QUERIES && node.bool("is_causal") == Some(true));
            for (axis, _) in own.iter().enumerate().filter(|(_, label)| whole(label)) {
                let dim = axes.dims(*operand)[axis].clone();
                axes.freeze(&dim, reason);
            }
        }
        let dims = labels.relate(node, graph, axes)?;
        let output = result(node)?;
        if let Some(mask) = node.tensor("attn_mask") {
            let key = operand(node, "key")?;
            let keys = graph.value(key).shape[graph.value(key).shape.len() - 2];
            let mut score_dims = dims.clone();
            let mut shape = graph.value(output).shape.clone();
            if let (Some(dim), Some(size)) = (score_dims.last_mut(), shape.last_mut()) {
                (*dim, *size) = (Dim::Fixed(Reason::NOT_A_CHANNEL), keys);
            }
            unify_broadcast(axes, graph, mask, &score_dims, &shape)?;
        }
        axes.set(output, dims);
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        let Ok(labels) = labels(node, graph) else { return Vec::new() };
        vec![labels.macs(graph, |label| label != VALUE_DIM), labels.macs(graph, |label| label != HEAD_DIM)]
    }

    fn rewrite(&self, node: &mut Node, shapes: &Shapes<'_>) {
        let Some(query) = node.tensor("query") else { return };
        let (before, after) = (shapes.before.value(query).shape.last(), shapes.after(query).last());
        if let (Some(&before), Some(Literal::None)) = (before, node.arg("scale"))
            && after != Some(&before)
        {
            node.set("scale", Literal::Float(1.0 / (before.fixed as f64).sqrt()));
        }
    }
}

/// `[.., L, E] x [.., S, E] x [.., S, V] -> [.., L, V]`.
fn labels(node: &Node, graph: &Graph) -> Result<Labels, String> {
    let (query, key, value) = (operand(node, "query")?, operand(node, "key")?, operand(node, "value")?);
    let shape = |value| &graph.value(value).shape[..];
    let leading = |value| shape(value).len().checked_sub(2).ok_or("attention reads a vector");
    let heads = |value| shape(value).iter().rev().nth(2).copied().unwrap_or(Size::fixed(1));
    if node.bool("enable_gqa") == Some(true) && heads(query) != heads(key) {
        return Err("queries share the heads of keys (`enable_gqa`), which has no channel rule".to_owned());
    }
    let with_batch = |value, own: [Label; 2]| Ok::<_, String>([batch(leading(value)?), own.to_vec()].concat());
    let operands = vec![
        (query, with_batch(query, [QUERIES, HEAD_DIM])?),
        (key, with_batch(key, [KEYS, HEAD_DIM])?),
        (value, with_batch(value, [KEYS, VALUE_DIM])?),
    ];
    let most = leading(query)?.max(leading(key)?).max(leading(value)?);
    const { assert!(FIRST_BATCH > VALUE_DIM, "batch labels are apart from the others") };
    Ok(Labels { operands, output: [batch(most), vec![QUERIES, VALUE_DIM]].concat() })
}

#[cfg(test)]
mod tests {
    use crate::graph::Literal;
    use crate::surgery::Constant;
    use crate::testing::Net;

    fn tensors(net: &Net) -> Vec<(usize, Vec<String>)> {
        net.groups().iter().map(|group| (group.channels(), group.tensors())).collect()
    }

    #[test]
    fn heads_go_in_queries_keys_values_and_projection_and_head_dims_in_pairs() {
        for written_out in [false, true] {
            let mut net = Net::new(&[7, 12]);
            if written_out {
                net.matmul_attention("a", 4, 3)
            } else {
                net.attention("a", 4, 3)
            };
            net.linear("a.proj", 12);
            let of = |parts: &[&str], projection: bool| {
                let mut tensors: Vec<String> =
                    parts.iter().flat_map(|part| [format!("a.{part}.weight:0"), format!("a.{part}.bias:0")]).collect();
                tensors.extend(projection.then(|| "a.proj.weight:1".to_owned()));
                tensors
            };
            assert_eq!(
                tensors(&net),
                [(4, of(&["q", "k", "v"], true)), (3, of(&["q", "k"], false)), (3, of(&["v"], true))],
                "written out: {written_out}"
            );
            let projections = 7 * 12 * 12 * 4;
            assert_eq!(net.costs().macs, projections + 2 * 4 * 7 * 7 * 3);
        }
    }

    #[test]
    fn an_index_goes_with_its_head_or_with_its_head_dimension() {
        let mut net = Net::new(&[7, 12]);
        net.attention("a", 4, 3).linear("a.proj", 12);
        let cut = net.cut(&[vec![0, 2], vec![1, 2], vec![0]]);
        assert_eq!(cut.kept.0["a.q.weight"][&0], [1, 2, 7, 8]);
        assert_eq!(cut.kept.0["a.k.bias"][&0], [1, 2, 7, 8]);
        assert_eq!(cut.kept.0["a.v.weight"][&0], [0, 6]);
        assert_eq!(cut.kept.0["a.proj.weight"][&1], [0, 6]);
        assert_eq!(cut.zeroed.0["a.proj.weight"][&1], [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
        let mask = Constant::Mask { shape: vec![3], indices: vec![0] };
        let constants = cut.reference.unwrap().constants;
        assert_eq!(constants, [mask], "queries are read as zero at the removed head dimension");
    }

    #[test]
    fn the_default_scale_stays_what_it_was() {
        let scale = |keep: &[Vec<u32>]| {
            let mut net = Net::new(&[7, 12]);
            net.attention("a", 4, 3).linear("a.proj", 12);
            let cut = net.cut(keep);
            let node = cut.graph.nodes().iter().find(|node| node.op.contains("attention")).unwrap();
            node.arg("scale").cloned()
        };
        assert_eq!(scale(&[vec![0], vec![0, 1, 2], vec![0]]), Some(Literal::None));
        assert_eq!(scale(&[vec![0], vec![0, 1], vec![0, 1, 2]]), Some(Literal::Float(1.0 / 3.0f64.sqrt())));
    }

    #[test]
    fn as_many_heads_as_head_dims_are_not_mixed_up() {
        let mut net = Net::new(&[7, 9]);
        net.attention("a", 3, 3).linear("a.proj", 9);
        assert_eq!(net.groups().iter().map(|group| group.channels()).collect::<Vec<_>>(), [3, 3, 3]);
    }
}
