//! Our own batch norm against libtorch's, which takes over where channels are not innermost.

use secateur_core::graph::{Graph, Literal};
use secateur_core::testing::Net;
use secateur_engine::torch::{self, Mode, Precision, Program, Statistics, Training};
use tch::{Kind, Tensor};

use crate::fixture::{largest_difference, random};

fn network(sample: &[i64]) -> Graph {
    let mut net = Net::new(sample);
    let mut args = vec![("input", Literal::Tensor(net.here()))];
    for part in ["weight", "bias", "running_mean", "running_var"] {
        args.push((part, net.weight(part, &sample[..1])));
    }
    args.extend([("training", Literal::Bool(false)), ("momentum", Literal::Float(0.1)), ("eps", Literal::Float(1e-5))]);
    args.push(("cudnn_enabled", Literal::Bool(false)));
    let shape = net.graph().value(net.here()).shape.clone();
    net.node("bn", "aten::batch_norm", &args, shape);
    net.graph()
}

/// What a training step leaves: the output, the slopes of input, weight and bias, and the running statistics.
fn trained(
    program: &Program,
    graph: &Graph,
    weights: &[Tensor],
    input: &Tensor,
    slope: &Tensor,
    training: Training,
) -> Vec<Tensor> {
    let own: Vec<Tensor> = graph
        .parameters()
        .iter()
        .zip(weights)
        .map(|(parameter, weight)| weight.copy().set_requires_grad(!parameter.name.contains("running")))
        .collect();
    let input = input.detach().set_requires_grad(true);
    let output = program.run(&own, &[input.shallow_clone()], Mode::Train(training)).unwrap().remove(0);
    (&output * slope).sum(Kind::Float).backward();
    let mut left = vec![output.detach(), input.grad()];
    left.extend(own.iter().map(|weight| if weight.requires_grad() { weight.grad() } else { weight.shallow_clone() }));
    left
}

fn weights(graph: &Graph, channels: i64) -> Vec<Tensor> {
    let weight = |name: &str| match name.contains("var") {
        true => random(&[channels]).abs() + 0.5,
        false => random(&[channels]) + 1.0,
    };
    graph.parameters().iter().map(|parameter| weight(&parameter.name)).collect()
}

/// Blocks of rows with and without a rest, and one channel.
#[test]
fn a_step_with_channels_innermost_is_that_of_libtorch() {
    for (channels, height, width) in
        [(1, 4, 5), (3, 32, 32), (5, 7, 3), (8, 9, 9), (11, 16, 16), (21, 5, 5), (45, 8, 8), (129, 3, 3)]
    {
        let graph = network(&[channels, height, width]);
        let program = Program::prepare(&graph).unwrap();
        let weights = weights(&graph, channels);
        let input = random(&[6, channels, height, width]) * 2.0 + 3.0;
        let slope = random(&[6, channels, height, width]);
        let innermost = torch::channels_last(&input).unwrap();
        for statistics in [Statistics::OfBatch, Statistics::Running] {
            let training = Training { statistics, ..Training::USUAL };
            let step = |input: &Tensor| trained(&program, &graph, &weights, input, &slope, training);
            for (found, wanted) in step(&innermost).iter().zip(step(&input)) {
                let (difference, largest) = (largest_difference(found, &wanted), wanted.abs().max().double_value(&[]));
                assert!(difference <= 2e-5 * largest.max(1.0), "{channels} channels: {difference} of {largest}");
            }
        }
        let _no_grad = tch::no_grad_guard();
        let evaluated =
            |input: &Tensor| program.run(&weights, &[input.shallow_clone()], Mode::Evaluate).unwrap().remove(0);
        let found = evaluated(&innermost);
        assert!(largest_difference(&found, &evaluated(&input)) < 1e-5, "{channels} channels");
        assert_eq!(found.stride(), innermost.stride());
    }
}

/// A picture of three dimensions; and a tensor that is in bfloat16 already keeps its type.
#[test]
fn volumes_and_halves_are_taken_too() {
    let graph = network(&[5, 3, 4, 6]);
    let program = Program::prepare(&graph).unwrap();
    let weights = weights(&graph, 5);
    let (input, slope) = (random(&[4, 5, 3, 4, 6]), random(&[4, 5, 3, 4, 6]));
    let step = |input: &Tensor| trained(&program, &graph, &weights, input, &slope, Training::USUAL);
    for (found, wanted) in step(&torch::channels_last(&input).unwrap()).iter().zip(step(&input)) {
        assert!(largest_difference(found, &wanted) < 2e-5);
    }

    let graph = network(&[7, 9, 9]);
    let program = Program::prepare(&graph).unwrap();
    let weights = self::weights(&graph, 7);
    // Numbers that the type has, so that only what is stored is rounded.
    let [input, slope] = [(), ()].map(|()| random(&[8, 7, 9, 9]).to_kind(Kind::BFloat16));
    let full = slope.to_kind(Kind::Float);
    let innermost = torch::channels_last(&input).unwrap();
    for statistics in [Statistics::OfBatch, Statistics::Running] {
        let training = |precision| Training { precision, statistics };
        let (single, half) = (training(Precision::Float32), training(Precision::Bfloat16));
        let exact = trained(&program, &graph, &weights, &input.to_kind(Kind::Float), &full, single);
        let found = trained(&program, &graph, &weights, &innermost, &slope, half);
        assert_eq!((found[0].kind(), found[1].kind(), found[2].kind()), (Kind::BFloat16, Kind::BFloat16, Kind::Float));
        for (found, wanted) in found.iter().zip(exact) {
            let step = if found.kind() == Kind::BFloat16 { 2.0_f64.powi(-8) } else { 2e-5 };
            let (difference, largest) = (largest_difference(&found.to_kind(Kind::Float), &wanted), wanted.abs().max());
            assert!(difference <= step * largest.double_value(&[]).max(1.0), "{difference} of {largest:?}");
        }
    }
}

/// Sizes that do not fit are libtorch's to refuse; what it makes of a variance of one value is left to it too.
#[test]
fn what_cannot_be_is_refused_by_libtorch() {
    let graph = network(&[5, 1, 1]);
    let program = Program::prepare(&graph).unwrap();
    let weights = weights(&graph, 5);
    let run = |weights: &[Tensor], shape: &[i64]| {
        program.run(weights, &[torch::channels_last(&random(shape)).unwrap()], Mode::Train(Training::USUAL))
    };
    assert!(run(&weights, &[2, 5, 1, 1]).is_ok());
    assert!(run(&weights, &[1, 5, 1, 1]).is_ok());
    assert!(run(&weights, &[2, 6, 4, 4]).is_err(), "six channels do not fit five weights");
}
