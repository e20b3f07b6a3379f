use secateur_core::graph::{Graph, GraphFile, Literal, Output};
use secateur_core::testing::{Net, int};
use tch::Device;

use super::*;

const ONE: &[OutputSpec] = &[];

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// A linear layer and what comes behind it.
fn network(out: i64, more: impl Fn(&mut Net)) -> Network {
    tch::manual_seed(1);
    let mut net = Net::new(&[6]);
    net.linear("fc", out);
    more(&mut net);
    let mut file: GraphFile = net.graph().into_file();
    file.nodes.iter_mut().filter(|node| node.op == "aten::softmax").for_each(|node| node.overload = "int".to_owned());
    let graph = Graph::new(file).unwrap();
    Network::new(graph, vec![random(&[out, 6]), random(&[out])]).unwrap()
}

fn split() -> Split {
    Split::of_tensors(random(&[100, 6]), None)
}

fn softmax(net: &mut Net) {
    let shape = net.graph().value(net.here()).shape.clone();
    let args = [("self", Literal::Tensor(net.here())), ("dim", int(1)), ("dtype", Literal::None)];
    net.node("", "aten::softmax", &args, shape);
}

/// A network of classes that are softmaxed is measured by its scores.
#[test]
fn answers_stand_before_the_squashing() {
    let (squashed, raw) = (network(4, softmax), network(4, |_| {}));
    let input = random(&[5, 6]);
    let answers = squashed.answers(&[input.copy()]).unwrap();
    assert!(answers[0].equal(&raw.answers(&[input.copy()]).unwrap()[0]));
    let sums = squashed.evaluate(&[input]).unwrap()[0].sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
    assert!(sums.allclose(&Tensor::ones([5], (Kind::Float, Device::Cpu)), 1e-5, 1e-6, false));
}

#[test]
fn every_kind_has_its_measure_and_no_loss_where_nothing_differs() {
    let sigmoid = |net: &mut Net| {
        net.unary("aten::sigmoid");
    };
    let tanh = |net: &mut Net| {
        net.unary("aten::tanh");
    };
    for (network, measure) in [
        (network(4, softmax), Measure::Agreement),
        (network(4, sigmoid), Measure::ExplainedDeviance),
        (network(4, tanh), Measure::R2),
    ] {
        let outputs = Outputs::of(&network, &split(), ONE).unwrap();
        assert_eq!(outputs.measure(), measure);
        let answers = network.answers(&[random(&[50, 6])]).unwrap();
        assert!(outputs.distillation(&answers, &answers).unwrap().double_value(&[]).abs() < 1e-5);
        assert!((outputs.fidelity(&answers, &answers).unwrap() - 1.0).abs() < 1e-5);
        let others = [answers[0].flip([0])];
        assert!(outputs.distillation(&others, &answers).unwrap().double_value(&[]) > 0.1);
        assert!(outputs.fidelity(&others, &answers).unwrap() < 0.9);
    }
}

/// The mean answer of the original loses 1, whatever the scale of an output.
#[test]
fn a_network_without_an_opinion_has_a_distortion_of_one() {
    let tanh = |net: &mut Net| {
        net.unary("aten::tanh");
    };
    let network = network(3, tanh);
    let split = split();
    let outputs = Outputs::of(&network, &split, ONE).unwrap();
    let answers = network.answers(&split.range(0..100).unwrap()).unwrap();
    let mean = [answers[0].mean_dim([0_i64].as_slice(), true, Kind::Float).expand_as(&answers[0])];
    assert!((outputs.distortion(&mean, &answers).unwrap().double_value(&[]) - 1.0).abs() < 1e-4);
    assert!(outputs.fidelity(&mean, &answers).unwrap().abs() < 1e-4);
}

/// Two outputs, one in thousands: neither drowns the other.
#[test]
fn outputs_of_unlike_scale_count_alike() {
    let mut net = Net::new(&[6]);
    let input = net.here();
    net.linear("scores", 10);
    let scores = net.here();
    net.at(input).linear("size", 1);
    let mut file: GraphFile = net.graph().into_file();
    file.output = Output::Tuple(vec![Output::Tensor(scores), Output::Tensor(net.here())]);
    let graph = Graph::new(file).unwrap();
    let weights = vec![random(&[10, 6]), random(&[10]), random(&[1, 6]) * 3000.0, random(&[1])];
    let network = Network::new(graph, weights).unwrap();
    let outputs = Outputs::of(&network, &split(), ONE).unwrap();
    assert_eq!(outputs.measure(), Measure::Fidelity);
    let answers = network.answers(&[random(&[64, 6])]).unwrap();
    let loss = |changed: usize| {
        let mut others = [answers[0].shallow_clone(), answers[1].shallow_clone()];
        others[changed] = others[changed].flip([0]);
        outputs.distortion(&others, &answers).unwrap().double_value(&[])
    };
    let (by_scores, by_size) = (loss(0), loss(1));
    assert!(by_scores / by_size < 10.0 && by_size / by_scores < 10.0, "{by_scores} and {by_size}");
    let ignored = serde_json::from_str::<Vec<OutputSpec>>(r#"[{"index": 1, "kind": "ignore"}]"#).unwrap();
    assert_eq!(Outputs::of(&network, &split(), &ignored).unwrap().measure(), Measure::Agreement);
}

/// Against `torch.nn.functional` in PyTorch 2.11, on the same numbers.
#[test]
fn losses_are_those_of_pytorch() {
    let answer = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 0.0, 1.5, -0.5]).view([2, 3]);
    let target = Tensor::from_slice(&[1.0_f32, -2.0, 0.5, 0.3, 0.7, -1.0]).view([2, 3]);
    let near = |value: Tensor, expected: f64| {
        let value = value.double_value(&[]);
        assert!((value - expected).abs() < 1e-5, "{value}, PyTorch has {expected}");
    };
    near(divergence(&answer, &target, 1, 4.0).unwrap(), KL_AT_4);
    near(divergence(&answer, &target, 1, 1.0).unwrap(), KL_AT_1);
    near(divergence(&answer, &target, 0, 1.0).unwrap(), KL_OVER_DIM_0);
    near(deviance(&answer, &target).unwrap(), BCE_LESS_ENTROPY);
}

const KL_AT_4: f64 = 0.264_305_53;
const KL_AT_1: f64 = 0.288_144_29;
const KL_OVER_DIM_0: f64 = 0.021_893_95;
const BCE_LESS_ENTROPY: f64 = 0.068_963_94;
