//! The interpreter: modes, gradients, batches, in-place operators.

use crate::fixture::{example, largest_difference, module, random};
use secateur_core::graph::{Graph, Parameter, ParameterKind};
use secateur_core::rejection::Code;
use secateur_engine::torch::{self, Imported, Mode, Precision, Program, Statistics, TorchError, Training};
use tch::{Device, Kind, Tensor};

#[test]
fn every_batch_size_gives_what_the_single_samples_give() {
    let Imported { graph, weights, .. } = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    let program = Program::prepare(&graph).unwrap();
    let _no_grad = tch::no_grad_guard();
    let batch = random(&[7, 1, 8, 8]);
    let together = &program.run(&weights, &[batch.shallow_clone()], Mode::Evaluate).unwrap()[0];
    assert_eq!(together.size(), [7, 10]);
    for sample in 0..7 {
        let alone = &program.run(&weights, &[batch.narrow(0, sample, 1)], Mode::Evaluate).unwrap()[0];
        assert!(largest_difference(alone, &together.narrow(0, sample, 1)) < 1e-4);
    }
}

/// Copies of the weights, of which the parameters record gradients.
fn leaves(graph: &Graph, weights: &[Tensor]) -> Vec<Tensor> {
    let is_trained = |parameter: &Parameter| parameter.kind == ParameterKind::Parameter;
    let pairs = graph.parameters().iter().zip(weights);
    pairs.map(|(parameter, weight)| weight.detach().copy().set_requires_grad(is_trained(parameter))).collect()
}

#[test]
fn training_updates_batch_statistics_and_reaches_every_parameter() {
    let Imported { graph, weights, .. } = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    let program = Program::prepare(&graph).unwrap();
    let weights = leaves(&graph, &weights);
    let mean = graph.parameters().iter().position(|parameter| parameter.name == "bn1.running_mean").unwrap();
    let before = weights[mean].copy();

    let logits = program.run(&weights, &[random(&[4, 1, 8, 8])], Mode::Train(Training::USUAL)).unwrap().remove(0);
    logits.sum(tch::Kind::Float).backward();

    assert!(largest_difference(&before, &weights[mean]) > 0.0);
    for (parameter, weight) in graph.parameters().iter().zip(&weights) {
        assert_eq!(weight.grad().defined(), parameter.kind == ParameterKind::Parameter, "{}", parameter.name);
    }
}

/// As after `eval()` of the norms alone.
#[test]
fn with_frozen_statistics_training_gives_the_outputs_of_evaluation_and_moves_every_parameter() {
    let Imported { graph, weights, .. } = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    let program = Program::prepare(&graph).unwrap();
    let weights = leaves(&graph, &weights);
    let before: Vec<Tensor> = weights.iter().map(|weight| weight.detach().copy()).collect();
    let input = random(&[4, 1, 8, 8]);
    let run = |mode| program.run(&weights, &[input.shallow_clone()], mode).unwrap().remove(0);

    let frozen = run(Mode::Train(Training { statistics: Statistics::Running, ..Training::USUAL }));
    assert!(largest_difference(&frozen, &run(Mode::Evaluate)) < 1e-5);
    frozen.sum(Kind::Float).backward();
    for ((parameter, weight), before) in graph.parameters().iter().zip(&weights).zip(&before) {
        assert_eq!(weight.grad().defined(), parameter.kind == ParameterKind::Parameter, "{}", parameter.name);
        assert_eq!(largest_difference(weight, before), 0.0, "{}", parameter.name);
    }
}

/// As under `torch.autocast("cpu", torch.bfloat16)`: what convolutions and linear layers give has that type, weights and gradients do not.
#[test]
fn training_in_bfloat16_leaves_weights_and_gradients_in_float32() {
    let Imported { graph, weights, .. } = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    let program = Program::prepare(&graph).unwrap();
    let weights = leaves(&graph, &weights);
    let input = random(&[32, 1, 8, 8]);
    let run = |mode| program.run(&weights, &[input.shallow_clone()], mode).unwrap().remove(0);
    let half = run(Mode::Train(Training { precision: Precision::Bfloat16, ..Training::USUAL }));
    half.sum(Kind::Float).backward();
    for weight in weights.iter().filter(|weight| weight.grad().defined()) {
        assert_eq!((weight.kind(), weight.grad().kind()), (Kind::Float, Kind::Float));
    }
    // It ends with the run.
    let exact = run(Mode::Train(Training::USUAL));
    assert_eq!((exact.kind(), half.kind()), (Kind::Float, Kind::BFloat16));
    let (difference, largest) = (largest_difference(&exact, &half.to_kind(Kind::Float)), exact.abs().max());
    assert!(difference > 0.0 && difference < 0.05 * largest.double_value(&[]), "{difference} of {largest:?}");
}

#[test]
fn dropout_drops_in_training_only_and_beside_frozen_norms_too() {
    let archive =
        module().forward("def forward(self, x):\n    return x + torch.dropout(x, 0.5, self.training)").write();
    let graph = archive.import(&[&[1000]]).graph;
    let program = Program::prepare(&graph).unwrap();
    let ones = Tensor::ones([1, 1000], tch::kind::FLOAT_CPU);
    let evaluated = &program.run(&[], &[ones.shallow_clone()], Mode::Evaluate).unwrap()[0];
    assert_eq!(evaluated.min().double_value(&[]), 2.0);
    assert_eq!(evaluated.max().double_value(&[]), 2.0);
    let trained = &program.run(&[], &[ones.shallow_clone()], Mode::Train(Training::USUAL)).unwrap()[0];
    assert_eq!(trained.min().double_value(&[]), 1.0);
    assert_eq!(trained.max().double_value(&[]), 3.0);
    assert_eq!(ones.min().double_value(&[]), 1.0, "the caller's input is untouched");
    let frozen = Training { statistics: Statistics::Running, ..Training::USUAL };
    let beside_frozen = &program.run(&[], &[ones.shallow_clone()], Mode::Train(frozen)).unwrap()[0];
    assert_eq!(beside_frozen.max().double_value(&[]), 3.0);
}

#[test]
fn gradients_are_off_where_the_caller_turns_them_off() {
    let Imported { graph, weights, .. } = torch::import(&example("vgg-digits.pt"), Some(&[vec![1, 8, 8]])).unwrap();
    let program = Program::prepare(&graph).unwrap();
    let input = random(&[2, 1, 8, 8]);
    assert!(program.run(&weights, &[input.shallow_clone()], Mode::Evaluate).unwrap()[0].requires_grad());
    let _no_grad = tch::no_grad_guard();
    assert!(!program.run(&weights, &[input], Mode::Evaluate).unwrap()[0].requires_grad());
}

#[test]
fn the_operator_that_fails_is_named() {
    let Imported { graph, weights, .. } = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    let program = Program::prepare(&graph).unwrap();
    let Err(TorchError::Libtorch(message)) = program.run(&weights, &[random(&[2, 3, 8, 8])], Mode::Evaluate) else {
        panic!("three channels go into a network for one")
    };
    assert!(message.starts_with("`conv1` (aten::_convolution) fails"), "{message}");
    let Err(TorchError::Libtorch(message)) = program.run(&weights[1..], &[random(&[2, 1, 8, 8])], Mode::Evaluate)
    else {
        panic!("a weight is missing")
    };
    assert!(message.contains("weights"), "{message}");
}

/// The graph is written by the process that ran the user's code.
#[test]
fn an_operator_that_an_upload_may_not_call_is_not_run_from_a_graph_either() {
    let Imported { graph, .. } = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    for denied in ["aten::from_file", "aten::save", "aten::as_strided", "inductor::_alloc_from_pool"] {
        let json = graph.to_json().replace("\"aten::flatten\"", &format!("\"{denied}\""));
        let forged = Graph::from_json(&json).unwrap();
        let Err(TorchError::Rejected(rejection)) = Program::prepare(&forged) else { panic!("{denied} is run") };
        assert_eq!(rejection.code, Code::UnsupportedOperator);
        assert!(rejection.detail.contains(denied), "{rejection}");
    }
}

#[test]
fn channels_last_changes_the_layout_only() {
    let tensor = random(&[2, 3, 4, 5]);
    let converted = torch::channels_last(&tensor).unwrap();
    assert_eq!(converted.stride(), [60, 1, 15, 3]);
    assert_eq!(largest_difference(&tensor, &converted), 0.0);
    assert_eq!(torch::channels_last(&random(&[2, 3])).unwrap().size(), [2, 3]);
    assert_eq!(converted.device(), Device::Cpu);
}

#[test]
fn the_version_is_that_of_the_headers() {
    assert!(torch::runtime::version().starts_with("2.11."), "{}", torch::runtime::version());
}
