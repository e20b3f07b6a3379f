use secateur_core::configuration::Configuration;
use secateur_core::group::Grouping;
use secateur_core::surgery;
use secateur_core::testing::Net;
use tch::Device;

use super::*;
use crate::network::cut;

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// The network with random weights; running variances are positive.
fn network(net: &Net) -> Network {
    let graph = net.graph();
    let tensors = weights::for_each_owned(&graph, |_, parameter| {
        let tensor = random(&weights::shape_of(&graph, parameter)) * 0.5;
        Ok(if parameter.name.ends_with("running_var") { tensor.abs() + 0.5 } else { tensor })
    });
    Network::new(graph, tensors.unwrap()).unwrap()
}

struct Case {
    original: Network,
    cut: Cut,
    pruned: Network,
    split: Split,
}

/// Half of every group's channels.
fn case(net: &Net, sample: &[i64]) -> Case {
    tch::manual_seed(3);
    let original = network(net);
    let grouping = Grouping::of(original.graph());
    let keep = grouping.groups().iter().map(|group| (0..group.channels() as u32 / 2).collect()).collect();
    let cut = surgery::cut(original.graph(), &grouping, &Configuration { keep }).unwrap();
    let tensors = cut::apply(original.graph(), &cut, original.weights()).unwrap();
    let pruned = Network::new(cut.graph.clone(), tensors).unwrap();
    let shape = [&[200], sample].concat();
    Case { original, cut, pruned, split: Split::of_tensors(random(&shape), None) }
}

/// Mean square difference to the original over that of the cut network alone.
fn remaining(case: Case) -> (f64, Reconstruction) {
    let Case { original, cut, pruned, split } = case;
    let input = split.range(0..split.count()).unwrap();
    let target = original.answers(&input).unwrap().remove(0);
    let loss = |network: &Network| {
        let answer = network.answers(&input).unwrap().remove(0);
        (answer - &target).square().mean(Kind::Double).double_value(&[])
    };
    let before = loss(&pruned);
    let (repaired, found) = reconstruct(&original, &cut, pruned, &split, 200, 0).unwrap();
    (loss(&repaired) / before, found)
}

/// Channels that are copies of others: what is left says all, and the fit finds it.
#[test]
fn what_the_remaining_channels_can_say_is_said_again() {
    let mut net = Net::new(&[12]);
    net.linear("a", 8).relu().linear("b", 6);
    let mut case = case(&net, &[12]);
    let _no_grad = tch::no_grad_guard();
    for name in ["a.weight", "a.bias"] {
        let Some(index) = case.original.graph().parameters().iter().position(|parameter| parameter.name == name) else {
            continue;
        };
        let weight = &mut case.original.weights_mut()[index];
        let first = weight.narrow(0, 0, 4).copy();
        weight.narrow(0, 4, 4).copy_(&first);
    }
    let (share, found) = remaining(case);
    assert_eq!((found.layers, found.left), (1, 0));
    assert!(share < 1e-3, "{share} of the loss is left");
}

#[test]
fn layers_come_nearer_to_the_original_one_after_the_other() {
    let mut net = Net::new(&[12]);
    net.linear("a", 32).relu().linear("b", 16).relu().linear("c", 5);
    let (share, found) = remaining(case(&net, &[12]));
    assert_eq!((found.layers, found.left), (2, 0));
    assert!(share < 0.8, "{share} of the loss is left");
}

/// The windows that rows are made of, against the convolution itself.
#[test]
fn rows_times_the_kernel_are_the_convolution() {
    let (input, weight) = (random(&[3, 4, 9, 7]), random(&[6, 2, 3, 2]));
    let (stride, padding, dilation, groups) = (vec![2, 1], vec![1, 2], vec![1, 2], 2);
    let output =
        input.conv2d(&weight, None::<Tensor>, stride.as_slice(), padding.as_slice(), dilation.as_slice(), groups);
    let form = Form::Convolution { stride, padding, dilation, groups };
    let mut rows = Rows::of(&form, &weight.size(), &input, &output, 12, 5).unwrap();
    for group in 0..2 {
        let kernel = weight.narrow(0, group * 3, 3).reshape([3, 12]).transpose(0, 1);
        let mut seen = 0;
        rows.each(group, |inputs, targets| {
            seen += inputs.size()[0];
            assert!(inputs.matmul(&kernel).allclose(targets, 1e-4, 1e-4, false));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, output.size()[0] * output.size()[2] * output.size()[3]);
    }
}
