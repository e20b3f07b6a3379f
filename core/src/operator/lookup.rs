//! Indices chosen by number: `embedding`, and indexing with tensors. The numbered dimension stays, the others pass.
//!
//! Where the numbers are a vector that the model holds and that nothing else reads, which is how a permutation or a selection of channels is
//! written, the numbered dimension can be cut too: the vector loses the numbers of what is removed, and those
//! that are left count what remains ([`renumbered`]). Everything that one vector numbers then loses the same indices.

use super::{Operator, Shapes, functional_name, operand, place, result};
use crate::axes::{Axes, Cause, Dim, Reason};
use crate::graph::{Graph, Literal, Node, Parameter, Producer, ValueId};

/// `weight[indices]`, with `weight` of `[rows, width]`.
pub(super) struct Embedding;

impl Operator for Embedding {
    fn names(&self) -> &'static [&'static str] {
        &["aten::embedding"]
    }

    fn axes(&self, node: &Node, _graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (weight, indices, output) = (operand(node, "weight")?, operand(node, "indices")?, result(node)?);
        let weight_dims = axes.dims(weight).to_vec();
        let mut dims = axes.dims(indices).to_vec();
        freeze_rows(node, &weight_dims[..1], axes);
        dims.extend_from_slice(&weight_dims[1..]);
        axes.set(output, dims);
        Ok(())
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }
}

/// The rows of a bag of numbers added up, averaged, or the largest of them, each column for itself.
pub(super) struct EmbeddingBag;

impl Operator for EmbeddingBag {
    fn names(&self) -> &'static [&'static str] {
        &["aten::embedding_bag"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let weight = operand(node, "weight")?;
        let weight_dims = axes.dims(weight).to_vec();
        freeze_rows(node, &weight_dims[..1], axes);
        let bags = [&[Dim::Fixed(Reason::NOT_A_CHANNEL)], &weight_dims[1..]].concat();
        let shape = &graph.value(node.outputs[0]).shape;
        for (index, &output) in node.outputs.iter().enumerate() {
            let own = &graph.value(output).shape;
            // The rows that were the largest have the shape of the result; the other outputs count numbers and bags.
            let dims = if index == 0 || own == shape {
                bags.clone()
            } else {
                vec![Dim::Fixed(Reason::NOT_A_CHANNEL); own.len()]
            };
            axes.set(output, dims);
        }
        Ok(())
    }

    fn channel_axis(&self, _node: &Node, _graph: &Graph, rank: usize) -> Option<usize> {
        rank.checked_sub(1)
    }
}

/// `table[:, indices]`: one tensor of numbers, or several side by side.
pub(super) struct Index;

impl Operator for Index {
    fn names(&self) -> &'static [&'static str] {
        &["aten::index"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (input, output) = (operand(node, "self")?, result(node)?);
        let Some(Literal::Tensors(indices)) = node.arg("indices") else {
            return Err("the list of indices is not known".to_owned());
        };
        let first = indices.iter().position(Option::is_some).ok_or("there is no index")?;
        let numbers: Vec<ValueId> = indices[first..].iter().copied().map_while(|index| index).collect();
        let last = first + numbers.len();
        if indices[last..].iter().any(Option::is_some) {
            return Err("the indexed dimensions are not side by side".to_owned());
        }
        let dims = axes.dims(input).to_vec();
        if let [index] = numbers[..]
            && let Some(chosen) = chosen(graph, axes, input, first, index)?
        {
            axes.set(output, [&dims[..first], &[chosen], &dims[last..]].concat());
            return Ok(());
        }
        let (before, after) = (&dims[..first], &dims[last..]);
        let places = graph.value(output).shape.len().checked_sub(before.len() + after.len());
        let places = places.ok_or("an index is a mask")?;
        freeze_rows(node, &dims[first..last], axes);
        for &index in &numbers {
            axes.freeze_value(index, Reason::NOT_A_CHANNEL);
        }
        let chosen = vec![Dim::Fixed(Reason::NOT_A_CHANNEL); places];
        axes.set(output, [before, &chosen, after].concat());
        Ok(())
    }
}

/// `index_select`: like [`Index`] of one dimension.
pub(super) struct IndexSelect;

impl Operator for IndexSelect {
    fn names(&self) -> &'static [&'static str] {
        &["aten::index_select"]
    }

    fn axes(&self, node: &Node, graph: &Graph, axes: &mut Axes) -> Result<(), String> {
        let (index, output) = (operand(node, "index")?, result(node)?);
        let (input, along) = place(node, graph)?;
        let mut dims = axes.dims(input).to_vec();
        dims[along] = match chosen(graph, axes, input, along, index)? {
            Some(chosen) => chosen,
            None => {
                freeze_rows(node, &dims[along..=along], axes);
                axes.freeze_value(index, Reason::NOT_A_CHANNEL);
                Dim::Fixed(Reason::NOT_A_CHANNEL)
            }
        };
        axes.set(output, dims);
        Ok(())
    }
}

fn freeze_rows(node: &Node, dims: &[Dim], axes: &mut Axes) {
    let reason = axes.reason(Cause::by(node, "chooses its channels by number"));
    for dim in dims {
        axes.freeze(dim, reason);
    }
}

/// The elements that a vector of known numbers chooses of a dimension; `None` when it must stay as it is.
fn chosen(graph: &Graph, axes: &mut Axes, input: ValueId, along: usize, index: ValueId) -> Result<Option<Dim>, String> {
    let Some(parameter) = held_vector(graph, index) else { return Ok(None) };
    let places = places_numbered_by(graph, parameter);
    let (Some(numbers), Some(&(first, first_axis))) = (&parameter.numbers, places.first()) else { return Ok(None) };
    let numbered = axes.dims(input)[along].clone();
    let elements = axes.elements(&numbered, graph.value(input).shape[along].fixed as usize);
    let listed = numbers.iter().map(|&number| elements.get(from_front(number, elements.len())).copied());
    let listed = listed.collect::<Option<_>>().ok_or("a number is outside of the dimension")?;
    let listed = Dim::Channels(listed);
    let of_first = axes.dims(first)[first_axis].clone();
    axes.unify(&of_first, &numbered)?;
    let of_vector = axes.dims(index)[0].clone();
    axes.unify(&listed, &of_vector)?;
    Ok(Some(listed))
}

fn from_front(number: i64, size: usize) -> usize {
    (if number < 0 { number + size as i64 } else { number }) as usize
}

/// The vector of the model's own that a value is a copy of; nothing that is trained.
fn held_vector(graph: &Graph, value: ValueId) -> Option<&Parameter> {
    match graph.producer(value) {
        Producer::Parameter(index) => Some(&graph.parameters()[index]).filter(|_| graph.value(value).shape.len() == 1),
        Producer::Node { node, .. } => {
            let node = &graph.nodes()[node];
            is_copy(node).then(|| held_vector(graph, node.tensor("self")?)).flatten()
        }
        Producer::Input(_) => None,
    }
}

fn is_copy(node: &Node) -> bool {
    let copies = ["aten::to", "aten::alias", "aten::clone", "aten::contiguous", "aten::detach"];
    copies.contains(&functional_name(&node.op)) && node.inputs().len() == 1
}

/// The dimensions of activations whose indices a vector numbers, by value and axis, in program order. None when something else
/// reads the vector too, or sizes differ: then its numbers must stay.
pub fn places_numbered_by(graph: &Graph, parameter: &Parameter) -> Vec<(ValueId, usize)> {
    let mut copies = vec![parameter.value];
    let mut places = Vec::new();
    for node in graph.nodes() {
        let reads = node.inputs().into_iter().filter(|input| copies.contains(input)).count();
        if reads == 0 {
            continue;
        }
        if is_copy(node) {
            copies.extend(&node.outputs);
            continue;
        }
        match numbered_place(node, graph).filter(|_| reads == 1) {
            Some((input, _)) if copies.contains(&input) => return Vec::new(),
            Some(place) => places.push(place),
            None => return Vec::new(),
        }
    }
    let size = |&(value, axis): &(ValueId, usize)| graph.value(value).shape[axis];
    let is_table = |&(value, _): &(ValueId, usize)| graph.as_parameter(value).is_some();
    let is_one_size = places.windows(2).all(|pair| size(&pair[0]) == size(&pair[1]));
    let is_returned = graph.output().tensors().iter().any(|value| copies.contains(value));
    let is_fixed = places.iter().all(|place| size(place).as_fixed().is_some());
    if is_returned || !is_one_size || !is_fixed || places.iter().all(is_table) {
        return Vec::new();
    }
    places
}

/// The dimension of which a node chooses indices by one tensor of numbers.
fn numbered_place(node: &Node, graph: &Graph) -> Option<(ValueId, usize)> {
    match functional_name(&node.op) {
        "aten::index_select" => place(node, graph).ok(),
        "aten::index" => {
            let Some(Literal::Tensors(indices)) = node.arg("indices") else { return None };
            let axis = indices.iter().position(Option::is_some)?;
            let is_only = indices[axis + 1..].iter().all(Option::is_none);
            Some((node.tensor("self")?, axis)).filter(|_| is_only)
        }
        _ => None,
    }
}

/// What a parameter's numbers are after a cut: those of removed indices are gone, the others count what remains.
pub fn renumbered(parameter: &Parameter, shapes: &Shapes<'_>) -> Option<Vec<i64>> {
    let numbers = parameter.numbers.as_ref()?;
    let Some(&(value, axis)) = places_numbered_by(shapes.before, parameter).first() else {
        return Some(numbers.clone());
    };
    let size = shapes.before.value(value).shape[axis].fixed as usize;
    let Some(remaining) = shapes.remaining.indices(value, axis) else { return Some(numbers.clone()) };
    let place = |&number: &i64| remaining.binary_search(&(from_front(number, size) as u32)).ok();
    Some(numbers.iter().filter_map(place).map(|place| place as i64).collect())
}

#[cfg(test)]
mod tests {
    use crate::graph::{Literal, Size};
    use crate::testing::{Net, int};

    #[test]
    fn the_width_of_an_embedding_is_cut_and_its_rows_are_not() {
        let mut net = Net::new(&[5]);
        let indices = Literal::Tensor(net.here());
        let weight = net.weight("embed.weight", &[11, 6]);
        let shape = vec![Size::BATCH, Size::fixed(5), Size::fixed(6)];
        net.node("embed", "aten::embedding", &[("weight", weight), ("indices", indices)], shape).linear("fc", 4);
        assert_eq!(net.groups().len(), 1);
        assert_eq!(net.groups()[0].tensors(), ["embed.weight:1", "fc.weight:1"]);
        assert!(net.reasons("embed.weight", 0).contains("chooses its channels by number"));
    }

    #[test]
    fn channels_beside_an_indexed_dimension_pass() {
        let mut net = Net::new(&[3, 4, 4]);
        net.conv("a", 6, 3, 1);
        let index = net.weight("index", &[9]);
        let Literal::Tensor(index) = index else { unreachable!("a weight is a tensor") };
        let indices = Literal::Tensors(vec![None, None, Some(index)]);
        net.apply("aten::index", &[("indices", indices)], &[6, 9, 4]).conv("b", 4, 1, 1);
        assert_eq!(net.groups()[0].tensors(), ["a.weight:0", "a.bias:0", "b.weight:1"]);
    }
    /// Six channels, of which `choice` takes some by the numbers of the buffer `order`.
    fn chosen(numbers: &[i64], choice: impl FnOnce(&mut Net, Literal)) -> Net {
        let mut net = Net::new(&[3, 4, 4]);
        let order = net.numbers("order", numbers);
        net.conv("a", 6, 3, 1);
        choice(&mut net, order);
        net.conv("b", 4, 1, 1);
        net
    }

    fn select(net: &mut Net, order: Literal, channels: i64) {
        net.apply("aten::index_select", &[("dim", int(1)), ("index", order)], &[channels, 4, 4]);
    }

    fn index(net: &mut Net, order: Literal, channels: i64) {
        let Literal::Tensor(order) = order else { unreachable!("a buffer is a tensor") };
        net.apply("aten::index", &[("indices", Literal::Tensors(vec![None, Some(order)]))], &[channels, 4, 4]);
    }

    #[test]
    fn a_permutation_of_channels_counts_what_remains() {
        for choose in [select, index] {
            let net = chosen(&[5, 0, 3, 1, -2, 2], |net, order| choose(net, order, 6));
            let groups = net.groups();
            assert_eq!(groups.len(), 1);
            assert_eq!(groups[0].tensors(), ["order:0", "a.weight:0", "a.bias:0", "b.weight:1"]);
            assert_eq!(groups[0].name, "a", "a group is called after weights, not after numbers");
            let keep: Vec<u32> = (0..6)
                .filter(|&channel| [0, 3, 5].contains(&groups[0].members[1].of_channel(channel)[0]))
                .map(|channel| channel as u32)
                .collect();
            let cut = net.cut(&[keep]);
            assert_eq!(cut.kept.0["a.weight"][&0], [0, 3, 5]);
            assert_eq!(cut.kept.0["b.weight"][&1], [0, 1, 2]);
            assert_eq!(cut.graph.parameter("order").unwrap().numbers, Some(vec![2, 0, 1]));
        }
    }

    #[test]
    fn a_selection_keeps_what_it_selects_and_repeats() {
        let net = chosen(&[4, 1, 4], |net, order| select(net, order, 3));
        let tensors: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        let selected = ["order:0", "a.weight:0", "a.bias:0", "b.weight:1"];
        assert!(tensors.contains(&vec!["a.weight:0".to_owned(), "a.bias:0".to_owned()]), "{tensors:?}");
        assert_eq!(
            tensors.iter().filter(|group| **group == selected).count(),
            2,
            "one number occurs twice: {tensors:?}"
        );
        let keep: Vec<Vec<u32>> = net.groups().iter().map(|group| vec![group.channels() as u32 - 1]).collect();
        let cut = net.cut(&keep);
        assert_eq!(cut.kept.0["a.weight"][&0], [1, 4, 5]);
        assert_eq!(cut.graph.parameter("order").unwrap().numbers, Some(vec![1, 0, 1]));
    }

    #[test]
    fn dimensions_that_one_vector_numbers_lose_the_same_indices() {
        let net = chosen(&[2, 0, 1], |net, order| {
            let a = net.here();
            select(net, order.clone(), 3);
            let of_a = net.here();
            net.at(a).conv("c", 6, 1, 1);
            index(net, order, 3);
            net.add(of_a);
        });
        let coupled = ["a.weight:0", "a.bias:0", "c.weight:0", "c.weight:1", "c.bias:0"];
        let groups: Vec<Vec<String>> = net.groups().iter().map(|group| group.tensors()).collect();
        assert_eq!(groups.len(), 2, "those that are numbered, and the others: {groups:?}");
        assert!(
            groups.iter().all(|group| coupled.iter().all(|tensor| group.contains(&tensor.to_string()))),
            "{groups:?}"
        );
    }

    #[test]
    fn numbers_that_something_else_reads_stay() {
        let net = chosen(&[2, 0, 1], |net, order| {
            select(net, order.clone(), 3);
            let chosen = net.here();
            let Literal::Tensor(order) = order else { unreachable!("a buffer is a tensor") };
            net.at(order).node("", "aten::sum", &[("self", Literal::Tensor(order))], vec![]);
            let sum = Literal::Tensor(net.here());
            net.at(chosen).apply("aten::mul", &[("other", sum)], &[3, 4, 4]);
        });
        assert!(net.groups().is_empty());
        assert!(net.reasons("a.weight", 0).contains("chooses its channels by number"));
    }
}
