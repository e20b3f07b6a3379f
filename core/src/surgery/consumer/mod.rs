//! The layers whose inputs were cut, which a repair in closed form fits anew.

mod form;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use super::Cut;
use crate::graph::{Graph, Literal, Node, Producer, ValueId};
use crate::operator::{self, RecurrentMatrices};

pub use form::{Form, Windows};
pub use order::arranged;

/// A layer that sums over input channels of which some are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Index of the parameter that holds its weights.
    pub weight: usize,
    /// Where they are multiplied with: one node, or several that share them, in program order.
    pub uses: Vec<Use>,
}

/// A node that multiplies with a layer's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Index of the node.
    pub node: usize,
    /// What it reads.
    pub input: ValueId,
    /// The part of `input` that it multiplies; all of it where there is none.
    pub direction: Option<Direction>,
    /// Where its inputs are taken from.
    pub source: Source,
    /// How it multiplies. All uses of a weight lay it out alike.
    pub form: Form,
    /// What it is fitted to.
    pub goal: Goal,
    /// What its node adds to its results: the index of the parameter.
    pub bias: Option<usize>,
    /// Where a shift of its results goes.
    pub intercept: Intercept,
}

/// One of the directions of a recurrent layer, whose states stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Which.
    pub index: usize,
    /// Of so many.
    pub count: usize,
}

/// Which network a layer's inputs are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The cut one, repaired up to the layer.
    Cut,
    /// The original, at the channels that are left: what the cut one has there depends on the layer itself.
    Original,
}

/// What a layer is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// What its node gave in the original.
    Output,
    /// Its input in the original times its weights there: one part of what a recurrent layer adds up.
    Product,
}

/// Where a shift of a layer's results goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Intercept {
    /// Into the layer's bias: the index of the parameter.
    Bias(usize),
    /// Off the running mean of the batch norm behind it: the index of the parameter.
    RunningMean(usize),
    /// Nowhere.
    None,
}

/// The layers of a cut network whose inputs were cut, in the order of their first uses; of recurrent stacks only where each layer has its
/// node ([`operator::layer_by_layer`]). Those whose weights are read in another way too, as by an embedding, are left out.
pub fn consumers(graph: &Graph, cut: &Cut) -> Vec<Consumer> {
    let readers = Readers::of_graph(graph);
    let mut claims: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let found = layer(graph, cut, &readers, index, node).into_iter().chain(recurrent(graph, cut, index, node));
        for (weight, claim) in found {
            claims.entry(weight).or_default().push(claim);
        }
    }
    let mut consumers: Vec<Consumer> =
        claims.into_iter().filter_map(|(weight, claims)| consumer(graph, &readers, weight, &claims)).collect();
    consumers.sort_by_key(|consumer| consumer.uses[0].node);
    consumers
}

/// A use that is one if nothing else reads what it claims.
struct Claim {
    found: Use,
    /// The node that reads the parameter of the intercept.
    at: usize,
}

fn consumer(graph: &Graph, readers: &Readers, weight: usize, claims: &[Claim]) -> Option<Consumer> {
    let first = &claims.first()?.found;
    let nodes: Vec<usize> = claims.iter().map(|claim| claim.found.node).collect();
    let is_alike = claims.iter().all(|claim| claim.found.form.is_laid_out_like(&first.form));
    if !is_alike || readers.of_parameter(graph, weight) != nodes {
        return None;
    }
    let is_owned = |intercept: Intercept| match intercept {
        Intercept::Bias(parameter) | Intercept::RunningMean(parameter) => {
            let own = claims.iter().filter(|claim| claim.found.intercept == intercept).map(|claim| claim.at);
            readers.of_parameter(graph, parameter).into_iter().eq(own.collect::<BTreeSet<usize>>())
        }
        Intercept::None => true,
    };
    let settled = |claim: &Claim| {
        let is_there = match graph.producer(claim.found.input) {
            Producer::Node { node, .. } => node < first.node,
            Producer::Input(_) | Producer::Parameter(_) => true,
        };
        let source = if is_there { Source::Cut } else { Source::Original };
        let intercept = Some(claim.found.intercept).filter(|&own| is_owned(own)).unwrap_or(Intercept::None);
        Use { source, intercept, ..claim.found.clone() }
    };
    Some(Consumer { weight, uses: claims.iter().map(settled).collect() })
}

/// A convolution, linear layer or product with a parameter.
fn layer(graph: &Graph, cut: &Cut, readers: &Readers, index: usize, node: &Node) -> Option<(usize, Claim)> {
    let (form, input) = form::form(graph, node)?;
    let factor = || operator::parameter_behind(graph, node.tensor("other")?);
    let parameter = operator::weight(graph, node).or_else(factor)?;
    cut.kept.0.get(&parameter.name)?.get(&form.input_axis())?;
    let added = bias(node);
    // `addmm` may add anything.
    let bias = added.filter(|&bias| graph.value(bias).shape.len() == 1).and_then(|bias| owner(graph, bias));
    let (intercept, at) = match (added, bias) {
        (None, _) => running_mean(graph, readers, node).unwrap_or((Intercept::None, index)),
        (Some(_), bias) => (Intercept::Bias(bias?), index),
    };
    let (direction, source, goal) = (None, Source::Cut, Goal::Output);
    let found = Use { node: index, input, direction, source, form, goal, bias, intercept };
    Some((owner(graph, parameter.value)?, Claim { found, at }))
}

/// The matrices of a recurrent layer, each a problem of its own: with the input, and with the states of the step before.
fn recurrent(graph: &Graph, cut: &Cut, index: usize, node: &Node) -> Vec<(usize, Claim)> {
    let Some(read) = node.tensor("input") else { return Vec::new() };
    let claim = |weight: ValueId, bias: Option<ValueId>, input: ValueId, direction: Option<Direction>| {
        let parameter = graph.as_parameter(weight)?;
        cut.kept.0.get(&parameter.name)?.get(&1)?;
        let intercept = bias.and_then(|bias| owner(graph, bias)).map_or(Intercept::None, Intercept::Bias);
        let (form, source, goal) = (Form::Linear { is_transposed: false }, Source::Cut, Goal::Product);
        let found = Use { node: index, input, direction, source, form, goal, bias: None, intercept };
        Some((owner(graph, weight)?, Claim { found, at: index }))
    };
    let both = |own: &RecurrentMatrices, states: ValueId, direction: Option<Direction>| {
        [claim(own.input, own.input_bias, read, None), claim(own.recurrent, own.recurrent_bias, states, direction)]
    };
    if let Some((own, state)) = operator::recurrent_cell(node) {
        return both(&own, state, None).into_iter().flatten().collect();
    }
    let matrices = operator::recurrent_matrices(node);
    let of_direction = |(direction, own): (usize, &RecurrentMatrices)| {
        both(own, node.outputs[0], Some(Direction { index: direction, count: matrices.len() }))
    };
    matrices.iter().enumerate().flat_map(of_direction).flatten().collect()
}

/// What a layer adds to its results.
fn bias(node: &Node) -> Option<ValueId> {
    match node.op.as_str() {
        "aten::addmm" => node.tensor("self"),
        _ => node.tensor("bias"),
    }
}

/// The running mean of the batch norm that alone reads what a node gives, and the batch norm's node.
fn running_mean(graph: &Graph, readers: &Readers, node: &Node) -> Option<(Intercept, usize)> {
    let (&[output], &[behind]) = (&node.outputs[..], readers.of(*node.outputs.first()?)) else { return None };
    let norm = &graph.nodes()[behind];
    let is_frozen = norm.op == "aten::batch_norm" && matches!(norm.arg("training"), Some(Literal::Bool(false)));
    if graph.output().tensors().contains(&output) || operator::input(norm) != Some(output) || !is_frozen {
        return None;
    }
    let mean = *operator::running_statistics(norm).first()?;
    Some((Intercept::RunningMean(owner(graph, mean)?), behind))
}

/// The index of the parameter that a value is.
fn owner(graph: &Graph, value: ValueId) -> Option<usize> {
    match graph.producer(value) {
        Producer::Parameter(index) => Some(index),
        Producer::Input(_) | Producer::Node { .. } => None,
    }
}

/// The nodes that read each value, in program order.
struct Readers(BTreeMap<ValueId, Vec<usize>>);

impl Readers {
    fn of_graph(graph: &Graph) -> Self {
        let mut readers: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            for value in BTreeSet::from_iter(node.inputs()) {
                readers.entry(value).or_default().push(index);
            }
        }
        Self(readers)
    }

    fn of(&self, value: ValueId) -> &[usize] {
        self.0.get(&value).map_or(&[], Vec::as_slice)
    }

    /// Those of a parameter, or of its transposition; nobody's where the model returns it.
    fn of_parameter(&self, graph: &Graph, parameter: usize) -> Vec<usize> {
        let value = graph.parameters()[parameter].value;
        if graph.output().tensors().contains(&value) {
            return Vec::new();
        }
        let behind = |&reader: &usize| {
            let node = &graph.nodes()[reader];
            match node.op.as_str() {
                "aten::t" | "aten::numpy_T" => self.of(node.outputs[0]).to_vec(),
                _ => vec![reader],
            }
        };
        let mut nodes: Vec<usize> = self.of(value).iter().flat_map(behind).collect();
        nodes.sort_unstable();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Size;
    use crate::testing::{Net, int, ints};

    fn found(net: &Net) -> Vec<(String, Intercept)> {
        let graph = net.graph();
        let keep: Vec<Vec<u32>> = net.groups().iter().map(|group| (0..group.channels() as u32 / 2).collect()).collect();
        let cut = net.cut(&keep);
        let name = |index: usize| graph.parameters()[index].name.clone();
        consumers(&graph, &cut)
            .into_iter()
            .map(|consumer| (name(consumer.weight), consumer.uses[0].intercept))
            .collect()
    }

    fn index(net: &Net, name: &str) -> usize {
        net.graph().parameters().iter().position(|parameter| parameter.name == name).unwrap()
    }

    #[test]
    fn layers_that_read_cut_channels_are_found_in_order_with_the_place_of_their_intercept() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).relu().conv("b", 6, 3, 1).batch_norm("bn").relu();
        net.mean(&[2, 3], false).linear("fc", 10);
        let consumers = found(&net);
        let names: Vec<&str> = consumers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b.weight", "fc.weight"]);
        assert_eq!(consumers[1].1, Intercept::Bias(index(&net, "fc.bias")));
    }

    fn names(net: &Net) -> Vec<String> {
        found(net).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_depthwise_convolution_sums_over_no_channels() {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).conv("depthwise", 8, 3, 8).conv("b", 4, 1, 1);
        assert_eq!(names(&net), ["b.weight"]);
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("a", 8, 3, 1).conv_transpose("depthwise", 8, 2, 8).conv_transpose("b", 4, 2, 2);
        assert_eq!(names(&net), ["b.weight"]);
    }

    #[test]
    fn a_product_with_a_parameter_is_a_layer() {
        let mut net = Net::new(&[12]);
        net.linear("a", 6).relu();
        let other = net.weight("b", &[6, 4]);
        net.apply("aten::matmul", &[("other", other)], &[4]);
        assert_eq!(found(&net), [("b".to_owned(), Intercept::None)]);
    }

    /// `padding="same"` of an even kernel pads one place less in front.
    #[test]
    fn words_for_padding_are_numbers() {
        for (words, padding) in [("same", vec![1, 2]), ("valid", vec![0, 0])] {
            let mut net = Net::new(&[3, 8, 8]);
            net.conv("a", 8, 3, 1);
            let (input, weight) = (Literal::Tensor(net.here()), net.weight("b", &[4, 8, 4, 3]));
            let args = [
                ("input", input),
                ("weight", weight),
                ("padding", Literal::Str(words.to_owned())),
                ("dilation", ints(&[1, 2])),
                ("groups", int(1)),
            ];
            net.node("b", "aten::conv2d", &args, vec![Size::BATCH, Size::fixed(4), Size::fixed(8), Size::fixed(8)]);
            let cut = net.cut(&[vec![0, 1, 2]]);
            let consumers = consumers(&net.graph(), &cut);
            let Form::Convolution(windows) = &consumers[0].uses[0].form else { panic!("{:?}", consumers[0]) };
            assert_eq!(windows.padding, padding, "{words}");
        }
    }

    /// What a linear layer of these weights gives on a value.
    fn call(net: &mut Net, name: &str, weights: &[Literal; 2], input: ValueId) -> ValueId {
        let shape = net.graph().value(input).shape.clone();
        let [weight, bias] = weights.clone();
        let args = [("input", Literal::Tensor(input)), ("weight", weight), ("bias", bias)];
        net.node(name, "aten::linear", &args, shape).here()
    }

    fn weights(net: &mut Net, name: &str) -> [Literal; 2] {
        [net.weight(&format!("{name}.weight"), &[8, 8]), net.weight(&format!("{name}.bias"), &[8])]
    }

    /// A layer of eight features, and a node of one operator on it each.
    fn branches(net: &mut Net, operators: &[&str]) -> Vec<ValueId> {
        let stem = net.linear("a", 8).here();
        operators.iter().map(|operator| net.at(stem).unary(operator).here()).collect()
    }

    /// The layers and the names of the nodes of the graph as it is walked.
    fn walked(net: &Net) -> (Vec<Consumer>, Vec<String>) {
        let graph = net.graph();
        let cut = net.cut(&net.groups().iter().map(|_| vec![0, 3, 5]).collect::<Vec<_>>());
        let graph = arranged(&graph, &graph, &consumers(&graph, &cut));
        (consumers(&graph, &cut), graph.nodes().iter().map(|node| node.name.clone()).collect())
    }

    fn sources(consumer: &Consumer) -> Vec<Source> {
        consumer.uses.iter().map(|found| found.source).collect()
    }

    #[test]
    fn calls_on_branches_wait_for_each_other_and_are_one_layer() {
        let mut net = Net::new(&[12]);
        let stem = net.linear("a", 8).here();
        let one = net.at(stem).relu().here();
        let shared = weights(&mut net, "b");
        let first = call(&mut net, "b", &shared, one);
        let other = net.at(stem).unary("aten::sigmoid").here();
        let second = call(&mut net, "b.again", &shared, other);
        net.at(first).add(second).linear("c", 2);
        let (consumers, nodes) = walked(&net);
        let at = nodes.iter().position(|name| name == "b").unwrap();
        assert_eq!(nodes[at + 1], "b.again", "{nodes:?}");
        assert_eq!(sources(&consumers[0]), [Source::Cut, Source::Cut]);
        let bias = Intercept::Bias(index(&net, "b.bias"));
        assert!(consumers[0].uses.iter().all(|found| found.intercept == bias), "{:?}", consumers[0]);
    }

    #[test]
    fn calls_on_what_the_layer_gave_before_read_the_original() {
        let mut net = Net::new(&[12]);
        let [mut value] = branches(&mut net, &["aten::relu"])[..] else { panic!() };
        let shared = weights(&mut net, "b");
        for number in 0..3 {
            value = call(&mut net, &format!("b.{number}"), &shared, value);
        }
        net.linear("c", 2);
        let (consumers, _) = walked(&net);
        assert_eq!(sources(&consumers[0]), [Source::Cut, Source::Original, Source::Original]);
    }

    #[test]
    fn weights_that_wait_for_each_other_keep_the_order_of_the_program() {
        let mut net = Net::new(&[12]);
        let [one, other] = branches(&mut net, &["aten::relu", "aten::sigmoid"])[..] else { panic!() };
        let (b, c) = (weights(&mut net, "b"), weights(&mut net, "c"));
        let first = call(&mut net, "b.0", &b, one);
        let first = call(&mut net, "c.0", &c, first);
        let second = call(&mut net, "c.1", &c, other);
        let second = call(&mut net, "b.1", &b, second);
        net.at(first).add(second).linear("d", 2);
        let (consumers, nodes) = walked(&net);
        assert_eq!(nodes.len(), net.graph().nodes().len());
        assert_eq!((sources(&consumers[0]), consumers.len()), (vec![Source::Cut, Source::Original], 3));
    }

    #[test]
    fn weights_that_are_read_in_two_ways_are_left() {
        let mut net = Net::new(&[12]);
        let [value] = branches(&mut net, &["aten::relu"])[..] else { panic!() };
        let shared = weights(&mut net, "b");
        call(&mut net, "b", &shared, value);
        net.apply("aten::matmul", &[("other", shared[0].clone())], &[8]).linear("c", 2);
        assert_eq!(names(&net), ["c.weight"]);
    }
}
