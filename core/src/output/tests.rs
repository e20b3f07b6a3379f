use super::*;
use crate::graph::{GraphFile, Literal, Size};
use crate::testing::{Net, int, ints};

fn of(net: &Net) -> ModelOutput {
    outputs(&net.graph()).remove(0)
}

fn softmax<'a>(net: &'a mut Net, op: &str, dim: i64) -> &'a mut Net {
    let shape = net.graph().value(net.here()).shape.clone();
    net.node("", op, &[("self", Literal::Tensor(net.here())), ("dim", int(dim))], shape)
}

/// The features by their own norm, as `torch.nn.functional.normalize` is traced.
fn normalised(net: &mut Net, dim: i64) {
    let (features, sample) = (net.here(), sample(net));
    net.apply("aten::linalg_vector_norm", &[("dim", ints(&[dim]))], &[1]);
    net.apply("aten::clamp_min", &[], &[1]);
    net.apply("aten::expand_as", &[("other", Literal::Tensor(features))], &sample);
    let divisor = Literal::Tensor(net.here());
    net.at(features).apply("aten::div", &[("other", divisor)], &sample);
}

fn sample(net: &Net) -> Vec<i64> {
    net.graph().value(net.here()).shape[1..].iter().map(|size| size.fixed).collect()
}

#[test]
fn a_final_softmax_tells_the_class_axis_wherever_its_elements_go() {
    let mut net = Net::new(&[3, 8, 8]);
    net.conv("head", 21, 1, 1);
    softmax(&mut net, "aten::log_softmax", 1).transpose(1, 3);
    let found = of(&net);
    assert_eq!((found.kind, found.axis, found.squashing), (OutputKind::Categorical, Some(3), Squashing::LogSoftmax));
    assert!(!found.presumed);

    // [N, 8, 8, 21] as [N, 64, 21]: the axis stays whole; as [N, 8, 168] it does not.
    let sizes = |rest: &[i64]| -> Vec<Size> {
        [Size::BATCH].into_iter().chain(rest.iter().map(|&size| Size::fixed(size))).collect()
    };
    net.view(&sizes(&[64, 21]));
    assert_eq!(of(&net).axis, Some(2));
    net.view(&sizes(&[8, 168]));
    assert_eq!(of(&net).kind, OutputKind::Values);
}

#[test]
fn a_sigmoid_makes_probabilities_and_parts_that_differ_make_values() {
    let mut net = Net::new(&[16]);
    net.linear("trunk", 16).relu();
    let trunk = net.here();
    net.linear("boxes", 4);
    let boxes = net.here();
    net.at(trunk).linear("scores", 3).unary("aten::sigmoid");
    assert_eq!((of(&net).kind, of(&net).squashing), (OutputKind::Bernoulli, Squashing::Sigmoid));
    let scores = net.here();
    net.at(trunk).linear("more", 3).unary("aten::sigmoid").cat(scores);
    assert_eq!(of(&net).kind, OutputKind::Bernoulli);
    net.cat(boxes);
    assert_eq!(of(&net).kind, OutputKind::Values);
}

#[test]
fn a_division_by_the_own_norm_makes_directions() {
    let mut net = Net::new(&[16]);
    net.linear("embedding", 32);
    normalised(&mut net, 1);
    let found = of(&net);
    assert_eq!((found.kind, found.axis, found.presumed), (OutputKind::Unit, Some(1), false));
}

#[test]
fn a_division_by_the_norm_of_something_else_does_not() {
    let mut net = Net::new(&[16]);
    net.linear("a", 32);
    let other = net.here();
    net.apply("aten::linalg_vector_norm", &[("dim", ints(&[1]))], &[1]);
    let norm = Literal::Tensor(net.here());
    net.at(other).relu().apply("aten::div", &[("other", norm)], &[32]);
    assert_ne!(of(&net).kind, OutputKind::Unit);
}

#[test]
fn what_a_layer_returns_is_taken_for_scores_by_its_shape_and_marked() {
    let mut classifier = Net::new(&[16]);
    classifier.linear("fc", 10);
    let found = of(&classifier);
    assert_eq!((found.kind, found.axis, found.presumed), (OutputKind::Categorical, Some(1), true));

    let mut reader = Net::new(&[26, 64]);
    reader.linear("letters", 97);
    assert_eq!((of(&reader).kind, of(&reader).axis), (OutputKind::Categorical, Some(2)));

    let mut colours = Net::new(&[3, 8, 8]);
    colours.conv("out", 3, 3, 1);
    assert_eq!((of(&colours).kind, of(&colours).axis), (OutputKind::Values, Some(1)));

    let mut bounded = Net::new(&[16]);
    bounded.linear("fc", 4).unary("aten::tanh");
    assert_eq!(of(&bounded).kind, OutputKind::Values);

    let mut one = Net::new(&[16]);
    one.linear("fc", 1);
    assert_eq!(of(&one).kind, OutputKind::Values);
}

/// A detector of faces: a box beside the probabilities of face and none.
#[test]
fn what_stands_beside_a_softmax_is_no_scores() {
    let mut net = Net::new(&[16]);
    net.linear("trunk", 16).relu();
    let trunk = net.here();
    net.linear("box", 4);
    let corners = net.here();
    softmax(net.at(trunk).linear("scores", 2), "aten::softmax", 1);
    let kinds = |net: &Net, returned: &[ValueId]| {
        let mut file: GraphFile = net.graph().into_file();
        file.output = Output::Tuple(returned.iter().map(|&value| Output::Tensor(value)).collect());
        outputs(&Graph::new(file).unwrap()).iter().map(|output| (output.kind, output.presumed)).collect::<Vec<_>>()
    };
    let found = kinds(&net, &[corners, net.here()]);
    assert_eq!(found, [(OutputKind::Values, true), (OutputKind::Categorical, false)]);
    assert_eq!(kinds(&net, &[corners]), [(OutputKind::Categorical, true)], "alone it may be scores");
}

/// Features that are returned beside what a head makes of them, as a detector of text does it.
#[test]
fn an_output_on_the_way_to_another_counts_for_less() {
    let mut net = Net::new(&[16]);
    net.linear("trunk", 16).relu();
    let features = net.here();
    net.linear("box", 4);
    let corners = net.here();
    net.at(features).linear("maps", 3).unary("aten::tanh");
    let mut file: GraphFile = net.graph().into_file();
    file.output = Output::Tuple([net.here(), features, corners].map(Output::Tensor).to_vec());
    let graph = Graph::new(file).unwrap();
    let feeds: Vec<Vec<usize>> = outputs(&graph).into_iter().map(|output| output.feeds).collect();
    assert_eq!(feeds, [vec![], vec![0, 2], vec![]]);
    let weights = |specs: &str| {
        let specs: Vec<OutputSpec> = serde_json::from_str(specs).unwrap();
        objectives(&graph, &specs).unwrap().iter().map(|objective| objective.weight).collect::<Vec<_>>()
    };
    assert_eq!(weights("[]"), [1.0, 0.1, 1.0]);
    assert_eq!(weights(r#"[{"index": 1, "weight": 2}, {"index": 0, "weight": 0.5}]"#), [0.5, 2.0, 1.0]);
    // Where nothing counts that is computed from them, they are the end of the way.
    assert_eq!(weights(r#"[{"index": 0, "kind": "ignore"}]"#)[1], 0.1);
    assert_eq!(weights(r#"[{"index": 0, "kind": "ignore"}, {"index": 2, "kind": "ignore"}]"#)[1], 1.0);
}

#[test]
fn scores_are_what_stands_before_the_squashing_in_the_shape_of_the_output() {
    let mut net = Net::new(&[3, 8, 8]);
    net.conv("head", 21, 1, 1);
    let head = net.here();
    softmax(&mut net, "aten::softmax", 1).transpose(1, 3);
    let graph = net.graph();
    let scores = before_squashing(&graph).unwrap().expect("the output is squashed");
    assert_eq!(scores.nodes().len(), graph.nodes().len() + 1);
    let [output] = scores.output().tensors()[..] else { panic!("one output") };
    assert_eq!(scores.value(output).shape, graph.value(net.here()).shape);
    let last = scores.nodes().last().unwrap();
    assert_eq!((last.op.as_str(), last.tensor("self")), ("aten::transpose", Some(head)));

    let mut raw = Net::new(&[16]);
    raw.linear("fc", 10);
    assert!(before_squashing(&raw.graph()).unwrap().is_none());
}

/// Sixty joins of a tensor with itself have 2^60 ways to the start.
#[test]
fn a_tensor_is_looked_at_once_however_many_ways_lead_to_it() {
    let mut net = Net::new(&[4]);
    net.linear("fc", 4).unary("aten::sigmoid");
    for _ in 0..60 {
        let here = net.here();
        net.cat(here);
        let halved = [("dim", int(1)), ("start", int(0)), ("end", int(4)), ("step", int(1))];
        net.apply("aten::slice", &halved, &[4]);
    }
    of(&net);
    before_squashing(&net.graph()).unwrap();
}

fn two_outputs() -> Graph {
    let mut net = Net::new(&[16]);
    net.linear("trunk", 16).relu();
    let trunk = net.here();
    net.linear("scores", 10);
    let scores = net.here();
    net.at(trunk).linear("boxes", 1);
    let mut file: GraphFile = net.graph().into_file();
    let named = |name: &str, value| (name.to_owned(), Output::Tensor(value));
    file.output = Output::Dict(vec![named("scores", scores), named("boxes", net.here())]);
    Graph::new(file).unwrap()
}

fn specs(json: &str) -> Vec<OutputSpec> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_spec_goes_before_what_the_graph_tells() {
    let json = r#"[{"name": "scores", "kind": "bernoulli", "weight": 2}, {"index": 1, "loss": "huber"}]"#;
    let objectives = objectives(&two_outputs(), &specs(json)).unwrap();
    assert_eq!((objectives[0].output.kind, objectives[0].weight), (OutputKind::Bernoulli, 2.0));
    assert!(!objectives[0].output.presumed);
    assert_eq!((objectives[1].output.kind, objectives[1].loss), (OutputKind::Values, Some(DistillationLoss::Huber)));
}

#[test]
fn what_an_output_cannot_be_is_refused_by_its_field() {
    for (json, field, part) in [
        (r#"[{"index": 2}]"#, "index", "no output 2: the model returns 2 tensors"),
        (r#"[{"name": "mask"}]"#, "name", "`scores`, `boxes`"),
        (r#"[{"kind": "values"}]"#, "index", "both are missing"),
        (r#"[{"index": 0, "name": "scores"}]"#, "index", "not by both"),
        (r#"[{"index": 0, "axis": 2}]"#, "axis", "-2 to 1 are allowed"),
        (r#"[{"index": 0, "loss": "bce"}]"#, "loss", "`bce` does not fit output 0, whose kind is `categorical`"),
    ] {
        let rejection = objectives(&two_outputs(), &specs(json)).unwrap_err();
        assert_eq!(rejection.node.as_deref(), Some(format!("fine_tune.outputs[0].{field}").as_str()), "{json}");
        assert!(rejection.detail.contains(part), "{}", rejection.detail);
    }
}

#[test]
fn a_class_axis_that_nobody_tells_is_asked_for() {
    let mut net = Net::new(&[3, 8, 8]);
    net.conv("out", 3, 3, 1);
    let rejection = objectives(&net.graph(), &specs(r#"[{"index": 0, "kind": "categorical"}]"#)).unwrap_err();
    assert!(rejection.detail.contains("which axis the class has"), "{}", rejection.detail);
    let told = objectives(&net.graph(), &specs(r#"[{"index": 0, "kind": "categorical", "axis": -3}]"#)).unwrap();
    assert_eq!(told[0].output.axis, Some(1));
}
