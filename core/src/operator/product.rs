//! Products of tensors: `matmul`, `mm`, `bmm`, `baddbmm`, `mv`, `dot`, `outer`, `einsum`.
//!
//! Every one of them is read as an einsum: each dimension of each operand has a label. Dimensions with one label are cut together; a label
//! that the output lacks is summed over, and one of its operands must then be read as zero at the removed indices for
//! the cut to change nothing else ([`Contraction`]).

use std::collections::BTreeMap;

use super::{Macs, Operator, operand, result};
use crate::axes::{Axes, Cause, Contraction, Dim, Reason};
use crate::graph::{Graph, Literal, Node, Producer, Size, ValueId};

pub(super) struct Product;

impl Operator for Product {
    fn names(&self) -> &'static [&'static str] {
        &[
            "aten::matmul",
            "aten::mm",
            "aten::bmm",
            "aten::baddbmm",
            "aten::mv",
            "aten::dot",
            "aten::vdot",
            "aten::outer",
            "aten::einsum",
        ]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let labels = labels(node, graph)?;
        let dims = labels.relate(node, graph, axes)?;
        let output = result(node)?;
        if let ("aten::baddbmm", Some(added)) = (super::functional_name(&node.op), node.tensor("self")) {
            unify_broadcast(axes, graph, added, &dims, &graph.value(output).shape)?;
        }
        axes.set(output, dims);
        Ok(())
    }

    fn macs(&self, node: &Node, graph: &Graph) -> Vec<Macs> {
        let Ok(labels) = labels(node, graph) else { return Vec::new() };
        labels.pairs(node.ints("path")).iter().map(|pair| labels.macs(graph, |label| pair.contains(&label))).collect()
    }

    fn weight(&self, node: &Node) -> Option<ValueId> {
        node.tensor("mat2")
    }
}

/// The name of a dimension that operands and output share.
pub(super) type Label = u32;

/// Batch dimensions are labelled from the last to the first, so that shorter operands line up.
pub(super) const FIRST_BATCH: Label = 1000;

/// An einsum.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) operands: Vec<(ValueId, Vec<Label>)>,
    pub(super) output: Vec<Label>,
}

impl Labels {
    /// Where each label occurs, the largest dimension first; dimensions of size one that broadcast are left out.
    fn occurrences(&self, graph: &Graph) -> BTreeMap<Label, Vec<(ValueId, usize)>> {
        let mut occurrences: BTreeMap<Label, Vec<(ValueId, usize)>> = BTreeMap::new();
        for (operand, labels) in &self.operands {
            for (axis, &label) in labels.iter().enumerate() {
                occurrences.entry(label).or_default().push((*operand, axis));
            }
        }
        let size = |&(value, axis): &(ValueId, usize)| graph.value(value).shape[axis];
        for places in occurrences.values_mut() {
            if places.iter().any(|place| size(place) != Size::fixed(1)) {
                places.retain(|place| size(place) != Size::fixed(1));
            }
        }
        occurrences
    }

    /// Relates the operands and gives the output's dimensions.
    pub(super) fn relate(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<Vec<Dim>, String> {
        let mut dims: BTreeMap<Label, Dim> = BTreeMap::new();
        for (label, places) in self.occurrences(graph) {
            let of_place = |axes: &Axes, (value, axis): (ValueId, usize)| axes.dims(value)[axis].clone();
            let mut dim = of_place(axes, places[0]);
            for &place in &places[1..] {
                let other = of_place(axes, place);
                dim = axes.unify(&dim, &other)?;
            }
            let computed = |&&(value, _): &&(ValueId, usize)| !matches!(graph.producer(value), Producer::Parameter(_));
            if places.iter().filter(computed).count() > 1 {
                axes.attend(&dim);
            }
            if !self.output.contains(&label) {
                let &(operand, axis) = &places[0];
                if places.len() > 1 {
                    axes.sum_over(Contraction { result: node.outputs[0], operand, axis });
                } else {
                    let reason = axes.reason(Cause::by(node, "sums over its channels"));
                    axes.freeze(&dim, reason);
                }
            }
            dims.insert(label, dim);
        }
        let fixed = Dim::Fixed(Reason::NOT_A_CHANNEL);
        Ok(self.output.iter().map(|label| dims.get(label).unwrap_or(&fixed).clone()).collect())
    }

    /// The labels that meet in each product of two operands. More than two are multiplied in the order of `path`, as PyTorch
    /// gives it: pairs of places in the list of operands, whose product goes to its end; without one, from left to right.
    /// A label goes as soon as nothing that is left has it.
    fn pairs(&self, path: Option<&[Size]>) -> Vec<Vec<Label>> {
        let mut left: Vec<Vec<Label>> = self.operands.iter().map(|(_, labels)| labels.clone()).collect();
        let mut path = path.unwrap_or_default().iter().map(|place| place.fixed as usize);
        let mut pairs = Vec::new();
        while left.len() > 1 {
            let last = left.len() - 1;
            // From left to right, the product of all before comes last.
            let from_left = if pairs.is_empty() { (0, 1) } else { (0, last) };
            let given = path.next().zip(path.next()).filter(|&(one, other)| one.max(other) <= last && one != other);
            let (one, other) = given.unwrap_or(from_left);
            let second = left.remove(one.max(other));
            let mut product = left.remove(one.min(other));
            product.extend(second.into_iter().filter(|label| !product.contains(label)).collect::<Vec<Label>>());
            let mut remaining = product.clone();
            remaining.retain(|label| self.output.contains(label) || left.iter().any(|other| other.contains(label)));
            pairs.push(product);
            left.push(remaining);
        }
        pairs
    }

    /// One multiplication for every combination of indices of the labels that count.
    pub(super) fn macs(&self, graph: &Graph, counts: impl Fn(Label) -> bool) -> Macs {
        let dims = self.occurrences(graph).into_iter().filter(|&(label, _)| counts(label));
        Macs { coefficient: 1, dims: dims.map(|(_, places)| places[0]).collect() }
    }
}

/// Unifies a tensor that broadcasts to the output of these dimensions.
pub(super) fn unify_broadcast(
    axes: &mut Axes,
    graph: &Graph,
    added: ValueId,
    dims: &[Dim],
    shape: &[Size],
) -> Result<(), String> {
    let added_dims = axes.dims(added).to_vec();
    let missing =
        dims.len().checked_sub(added_dims.len()).ok_or("what is added has more dimensions than the output")?;
    for (axis, added_dim) in added_dims.iter().enumerate() {
        if graph.value(added).shape[axis] == shape[missing + axis] {
            axes.unify(&dims[missing + axis], added_dim)?;
        }
    }
    Ok(())
}

fn labels(node: &Node, graph: &Graph) -> Result<Labels, String> {
    let name = super::functional_name(&node.op);
    if name == "aten::einsum" {
        let (Some(Literal::Str(equation)), Some(Literal::Tensors(operands))) =
            (node.arg("equation"), node.arg("tensors"))
        else {
            return Err("the equation is not known".to_owned());
        };
        let operands: Vec<ValueId> = operands.iter().flatten().copied().collect();
        return parse(equation, &operands, graph);
    }
    if name == "aten::outer" {
        let (rows, columns) = (operand(node, "self")?, operand(node, "vec2")?);
        return Ok(Labels { operands: vec![(rows, vec![0]), (columns, vec![1])], output: vec![0, 1] });
    }
    let names = match name {
        "aten::matmul" => ["self", "other"],
        "aten::mv" => ["self", "vec"],
        "aten::dot" => ["self", "tensor"],
        "aten::vdot" => ["self", "other"],
        "aten::baddbmm" => ["batch1", "batch2"],
        _ => ["self", "mat2"],
    };
    let (left, right) = (operand(node, names[0])?, operand(node, names[1])?);
    Ok(matmul(left, graph.value(left).shape.len(), right, graph.value(right).shape.len()))
}

/// `[.., n, k] x [.., k, m] -> [.., n, m]`, where a vector lacks `n` or `m`.
fn matmul(left: ValueId, left_rank: usize, right: ValueId, right_rank: usize) -> Labels {
    const ROWS: Label = 0;
    const SUMMED: Label = 1;
    const COLUMNS: Label = 2;
    let with_batch = |rank: usize, own: &[Label]| [batch(rank.saturating_sub(2)), own.to_vec()].concat();
    let left_labels = if left_rank == 1 { vec![SUMMED] } else { with_batch(left_rank, &[ROWS, SUMMED]) };
    let right_labels = if right_rank == 1 { vec![SUMMED] } else { with_batch(right_rank, &[SUMMED, COLUMNS]) };
    let mut output = batch(left_rank.max(right_rank).saturating_sub(2));
    output.extend((left_rank > 1).then_some(ROWS));
    output.extend((right_rank > 1).then_some(COLUMNS));
    Labels { operands: vec![(left, left_labels), (right, right_labels)], output }
}

/// Labels of this many leading dimensions that broadcast.
pub(super) fn batch(dims: usize) -> Vec<Label> {
    (0..dims as Label).rev().map(|from_the_end| FIRST_BATCH + from_the_end).collect()
}

/// `bhid,bhjd->bhij`, with or without `...` and the right-hand side.
fn parse(equation: &str, operands: &[ValueId], graph: &Graph) -> Result<Labels, String> {
    let equation: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&equation[..], None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != operands.len() {
        return Err(format!("the einsum `{equation}` is given {} operands", operands.len()));
    }
    let mut most_batch = 0;
    let mut labelled = Vec::with_capacity(operands.len());
    for (term, &operand) in terms.iter().zip(operands) {
        let letters = term.replace("...", "").chars().count();
        let rank = graph.value(operand).shape.len();
        let leading =
            rank.checked_sub(letters).ok_or_else(|| format!("`{term}` labels {letters} of {rank} dimensions"))?;
        most_batch = most_batch.max(leading);
        let labels = expand(term, leading);
        if (1..labels.len()).any(|index| labels[..index].contains(&labels[index])) {
            return Err(format!("the einsum `{equation}` takes a diagonal"));
        }
        labelled.push((operand, labels));
    }
    let output = match right {
        Some(right) => expand(right, most_batch),
        None => {
            let mut once: Vec<char> = left.chars().filter(|letter| letter.is_alphabetic()).collect();
            once.sort_unstable();
            let repeated: Vec<char> = once.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
            once.retain(|letter| !repeated.contains(letter));
            [batch(most_batch), once.into_iter().map(Label::from).collect()].concat()
        }
    };
    Ok(Labels { operands: labelled, output })
}

/// Labels of one term of an equation; `...` stands for this many dimensions.
fn expand(term: &str, ellipsis: usize) -> Vec<Label> {
    let of_letters = |letters: &str| letters.chars().map(Label::from).collect::<Vec<Label>>();
    match term.split_once("...") {
        Some((before, after)) => [of_letters(before), batch(ellipsis), of_letters(after)].concat(),
        None => of_letters(term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surgery::Constant;
    use crate::testing::Net;

    fn tensors(net: &Net, values: &[ValueId]) -> Literal {
        assert!(values.iter().all(|value| value.index() < net.graph().values().len()));
        Literal::Tensors(values.iter().copied().map(Some).collect())
    }

    #[test]
    fn an_einsum_and_a_matmul_couple_what_they_sum_over() {
        for einsum in [false, true] {
            let mut net = Net::new(&[7, 12]);
            let input = net.here();
            net.linear("query", 6);
            let query = net.here();
            net.at(input).linear("key", 6);
            let key = net.here();
            let scores = [7, 7].map(Size::fixed);
            let shape = [&[Size::BATCH], &scores[..]].concat();
            if einsum {
                let args = [
                    ("equation", Literal::Str("b i d, b j d -> b i j".to_owned())),
                    ("tensors", tensors(&net, &[query, key])),
                ];
                net.node("scores", "aten::einsum", &args, shape);
            } else {
                net.transpose(1, 2);
                let transposed = net.here();
                net.node(
                    "scores",
                    "aten::matmul",
                    &[("self", Literal::Tensor(query)), ("other", Literal::Tensor(transposed))],
                    shape,
                );
            }
            let groups = net.groups();
            assert_eq!(groups.len(), 1);
            assert_eq!(groups[0].tensors(), ["query.weight:0", "query.bias:0", "key.weight:0", "key.bias:0"]);
            assert_eq!(net.costs().macs, 2 * 7 * 12 * 6 + 7 * 7 * 6);
            let cut = net.cut(&[vec![0, 2, 5]]);
            let reference = cut.reference.unwrap();
            assert_eq!(reference.constants, [Constant::Mask { shape: vec![6], indices: vec![1, 3, 4] }]);
            let mask = reference.graph.nodes().iter().find(|node| node.op == "aten::masked_fill").unwrap();
            assert_eq!(mask.tensor("self"), Some(query));
        }
    }

    #[test]
    fn an_einsum_without_a_right_hand_side_sums_over_repeated_letters() {
        let mut net = Net::new(&[7, 12]);
        net.linear("a", 6);
        let (a, graph) = (net.here(), net.graph());
        let implicit = parse("zik,zjk", &[a, a], &graph).unwrap();
        assert_eq!(implicit.output, ['i', 'j'].map(Label::from));
        assert_eq!(parse("...ik,...jk->...ij", &[a, a], &graph).unwrap().output.len(), 3);
        assert!(parse("bii->b", &[a], &graph).unwrap_err().contains("diagonal"));
    }
    /// `scores[b, i, j] values[b, j, d] out[d, o] -> [b, i, o]`, which PyTorch calls a path of two products.
    fn three_factors(path: Option<&[i64]>) -> Net {
        let mut net = Net::new(&[7, 12]);
        let input = net.here();
        net.linear("scores", 7);
        let scores = net.here();
        net.at(input).linear("values", 6);
        let values = net.here();
        let Literal::Tensor(out) = net.weight("out", &[6, 5]) else { unreachable!("a weight is a tensor") };
        let mut args = vec![
            ("equation", Literal::Str("bij,bjd,do->bio".to_owned())),
            ("tensors", tensors(&net, &[scores, values, out])),
        ];
        args.extend(path.map(|path| ("path", crate::testing::ints(path))));
        net.node("mix", "aten::einsum", &args, vec![Size::BATCH, Size::fixed(7), Size::fixed(5)]).linear("head", 3);
        net
    }

    #[test]
    fn an_einsum_of_three_factors_couples_by_letters() {
        let net = three_factors(None);
        let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        assert_eq!(groups[0], ["values.weight:0", "values.bias:0", "out:0"]);
        assert_eq!(groups[1], ["out:1", "head.weight:1"]);
        assert!(
            net.reasons("scores.weight", 0).contains("the channels of the model's input"),
            "it is summed with the tokens of the input"
        );
        let reference = net.cut(&[vec![0, 2, 5], (0..5).collect()]).reference.unwrap();
        assert_eq!(reference.constants, [Constant::Mask { shape: vec![6], indices: vec![1, 3, 4] }]);
    }

    #[test]
    fn the_factors_of_an_einsum_are_multiplied_in_pairs() {
        let layers = 7 * 12 * 7 + 7 * 12 * 6 + 7 * 5 * 3;
        assert_eq!(three_factors(None).costs().macs, layers + 7 * 7 * 6 + 7 * 6 * 5);
        assert_eq!(three_factors(Some(&[1, 2, 0, 1])).costs().macs, layers + 7 * 6 * 5 + 7 * 7 * 5);
    }
}
