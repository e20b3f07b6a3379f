use secateur_core::configuration::Configuration;
use secateur_core::graph::{Literal, Size, ValueId};
use secateur_core::group::Grouping;
use secateur_core::operator::layer_by_layer;
use secateur_core::surgery::{self, Windows};
use secateur_core::testing::{Net, int, ints};
use tch::Device;

use super::least_squares::Fit;
use super::*;
use crate::network::cut;

pub(super) fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// The network with random weights; running variances are positive.
pub(super) fn network(net: &Net) -> Network {
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

/// Rows whose columns are correlated, as those of a layer behind a ReLU are, and targets that they nearly say.
fn correlated(rows: i64, columns: i64) -> (Tensor, Tensor) {
    tch::manual_seed(5);
    let inputs =
        (random(&[rows, columns / 2]).matmul(&random(&[columns / 2, columns])) * 0.3 + random(&[rows, columns])).relu();
    let targets = inputs.matmul(&random(&[columns, 3])) + random(&[rows, 3]) * 0.1 + 2.0;
    (inputs, targets)
}

/// Mean square of what a fit leaves.
fn left_by(fit: &Fit, inputs: &Tensor, targets: &Tensor) -> f64 {
    (inputs.matmul(&fit.matrix) + &fit.shifts[0] - targets).square().mean(Kind::Double).double_value(&[])
}

fn fit_with(inputs: &Tensor, targets: &Tensor, widest: i64, is_centred: bool) -> Fit {
    let matrix = Tensor::zeros([inputs.size()[1], 3], (Kind::Float, Device::Cpu));
    let form = Form::Linear { is_transposed: false };
    let rows = Rows::of(&form, inputs, targets, inputs.size()[0], 0).unwrap();
    let mut places = [Place { is_centred, parts: vec![Part { rows, bias: None }] }];
    Problem { group: 0, matrix: &matrix, widest }.solve(&mut places).unwrap().unwrap()
}

#[test]
fn a_wide_layer_is_fitted_as_well_as_at_once() {
    let (inputs, targets) = correlated(2000, 40);
    let nothing = (&targets - targets.mean_dim(0, true, Kind::Float)).square().mean(Kind::Double).double_value(&[]);
    for is_centred in [true, false] {
        let left = |widest| left_by(&fit_with(&inputs, &targets, widest, is_centred), &inputs, &targets);
        // Blocks of eight columns along the diagonal.
        let (at_once, in_blocks) = (left(40), left(18));
        assert!(in_blocks < 1.05 * at_once, "{nothing} unfitted, {at_once} at once, {in_blocks} in blocks");
    }
}

/// Against the same ridge, solved with the Gram matrix of the columns by another routine.
#[test]
fn fewer_rows_than_columns_give_the_same_as_the_gram_matrix_of_the_columns() {
    let (inputs, targets) = correlated(30, 80);
    for is_centred in [true, false] {
        let fit = fit_with(&inputs, &targets, 80, is_centred);
        let centred = |tensor: &Tensor| {
            let tensor = tensor.to_kind(Kind::Double);
            if is_centred { &tensor - tensor.mean_dim(0, true, Kind::Double) } else { tensor }
        };
        let (x, y) = (centred(&inputs), centred(&targets));
        let gram = x.transpose(0, 1).matmul(&x);
        let ridge = Tensor::eye(80, (Kind::Double, Device::Cpu)) * gram.diagonal(0, 0, 1).mean(Kind::Double) * 1e-3;
        let expected = (gram + ridge).inverse().matmul(&x.transpose(0, 1).matmul(&y));
        assert!(fit.matrix.to_kind(Kind::Double).allclose(&expected, 1e-4, 1e-5, false), "{is_centred}");
        let shift = (&targets - inputs.matmul(&fit.matrix)).mean_dim(0, false, Kind::Float);
        let expected = if is_centred { shift } else { shift.zeros_like() };
        assert!(fit.shifts[0].allclose(&expected, 1e-4, 1e-4, false), "{is_centred}");
    }
}

#[test]
fn a_layer_of_more_inputs_than_a_gram_matrix_may_have_is_fitted() {
    let mut net = Net::new(&[12]);
    net.linear("a", 2 * (WIDEST + 800)).relu().linear("b", 3);
    let (share, found) = remaining(case(&net, &[12]));
    assert_eq!((found.layers, found.left), (1, 0));
    assert!(share < 0.01, "{share} of the loss is left");
}

#[test]
fn a_recurrent_stack_computes_the_same_layer_by_layer() {
    for (gates, directions) in [(4, 2), (3, 1), (1, 2)] {
        let mut net = Net::new(&[6, 5]);
        net.recurrent(4, gates, 3, directions);
        let network = network(&net);
        let apart = Network::new(
            layer_by_layer(network.graph()),
            network.weights().iter().map(Tensor::shallow_clone).collect(),
        )
        .unwrap();
        let input = [random(&[7, 6, 5])];
        let (whole, parts) = (network.answers(&input).unwrap().remove(0), apart.answers(&input).unwrap().remove(0));
        assert!(whole.allclose(&parts, 1e-5, 1e-6, false), "{gates} gates, {directions} directions");
    }
}

#[test]
fn every_layer_of_a_recurrent_stack_is_fitted() {
    for (gates, directions) in [(4, 2), (3, 1)] {
        let mut net = Net::new(&[6, 5]);
        net.recurrent(24, gates, 3, directions).linear("out", 4);
        let (share, found) = remaining(case(&net, &[6, 5]));
        // The first layer lost no inputs, each has states, and the last linear layer reads them.
        assert_eq!((found.layers as i64, found.left), (5 * directions + 1, 0));
        assert!(share < 0.6, "{gates} gates, {directions} directions: {share} of the loss is left");
    }
}

/// What a linear layer without bias gives on a value.
fn call(net: &mut Net, name: &str, weight: &Literal, input: ValueId) -> ValueId {
    let shape = net.graph().value(input).shape.clone();
    let args = [("input", Literal::Tensor(input)), ("weight", weight.clone()), ("bias", Literal::None)];
    net.node(name, "aten::linear", &args, shape).here()
}

/// Batch norm as it stands in a network that is not trained.
fn frozen_norm(net: &mut Net, name: &str, input: ValueId) -> ValueId {
    let shape = net.graph().value(input).shape.clone();
    let mut args = vec![("input", Literal::Tensor(input))];
    for part in ["weight", "bias", "running_mean", "running_var"] {
        args.push((part, net.weight(&format!("{name}.{part}"), &[shape[1].fixed])));
    }
    let (training, momentum, eps) = (Literal::Bool(false), Literal::Float(0.1), Literal::Float(1e-5));
    args.extend([
        ("training", training),
        ("momentum", momentum),
        ("eps", eps),
        ("cudnn_enabled", Literal::Bool(false)),
    ]);
    net.node(name, "aten::batch_norm", &args, shape).here()
}

/// A layer that is called on two branches, before a batch norm of its own for each.
fn with_two_branches() -> Net {
    let mut net = Net::new(&[12]);
    let stem = net.linear("a", 16).here();
    let one = net.at(stem).relu().here();
    let weight = net.weight("b.weight", &[16, 16]);
    let first = call(&mut net, "b.0", &weight, one);
    let first = frozen_norm(&mut net, "bn.0", first);
    let other = net.at(stem).unary("aten::sigmoid").here();
    let second = call(&mut net, "b.1", &weight, other);
    let second = frozen_norm(&mut net, "bn.1", second);
    net.at(first).cat(second);
    net
}

/// The output is as good as a routine of its own finds it with the rows of both calls, and each call's mean is the original's.
#[test]
fn a_weight_of_two_calls_is_fitted_to_both() {
    let net = with_two_branches();
    let case = case(&net, &[12]);
    let input = case.split.range(0..200).unwrap();
    let position =
        |network: &Network, name: &str| network.graph().nodes().iter().position(|node| node.name == name).unwrap();
    // What stands before and behind each call.
    let around = |network: &Network, name: &str| {
        let node = position(network, name);
        let (read, given) =
            (network.graph().nodes()[node].tensor("input").unwrap(), network.graph().nodes()[node].outputs[0]);
        let mut walk = Walk::new(network.graph(), &input);
        walk.to(node + 1, &[read, given], network.weights()).unwrap();
        [walk.value(read).unwrap().to_kind(Kind::Double), walk.value(given).unwrap().to_kind(Kind::Double)]
    };
    let centred = |tensor: &Tensor| tensor - tensor.mean_dim(0, true, Kind::Double);
    let [x, y]: [Vec<Tensor>; 2] = [
        ["b.0", "b.1"].map(|name| centred(&around(&case.pruned, name)[0])).into(),
        ["b.0", "b.1"].map(|name| centred(&around(&case.original, name)[1])).into(),
    ];
    let (x, y) = (Tensor::cat(&x, 0), Tensor::cat(&y, 0));
    let (solution, ..) = x.linalg_lstsq(&y, None, "gelsd");
    let least = (x.matmul(&solution) - &y).square().mean(Kind::Double).double_value(&[]);

    let target = case.original.answers(&input).unwrap().remove(0);
    let before = case.original.weights().len();
    let (repaired, found) = reconstruct(&case.original, &case.cut, case.pruned, &case.split, 200, 0).unwrap();
    assert_eq!((found.layers, found.left, repaired.weights().len()), (1, 0, before));
    let fitted = Tensor::cat(&["b.0", "b.1"].map(|name| centred(&around(&repaired, name)[1])), 0);
    let after = (fitted - y).square().mean(Kind::Double).double_value(&[]);
    assert!(after < 1.01 * least, "{after} is left, {least} would do");
    let means = |answers: &Tensor| answers.mean_dim(0, false, Kind::Double);
    let answers = repaired.answers(&input).unwrap().remove(0);
    assert!(means(&answers).allclose(&means(&target), 1e-3, 1e-3, false), "a running mean for each call");
}

/// What is written over in the program is still there when the layer is fitted.
#[test]
fn a_weight_that_reads_what_it_gave_is_fitted_whether_or_not_the_program_writes_in_place() {
    let repaired = |activation: &str| {
        let mut net = Net::new(&[12]);
        let mut value = net.linear("a", 16).relu().here();
        let weight = net.weight("b.weight", &[16, 16]);
        for number in 0..3 {
            call(&mut net, &format!("b.{number}"), &weight, value);
            value = net.unary(activation).here();
        }
        net.linear("c", 4);
        let case = case(&net, &[12]);
        let (share, _) = remaining(self::case(&net, &[12]));
        let (repaired, found) = reconstruct(&case.original, &case.cut, case.pruned, &case.split, 200, 0).unwrap();
        assert_eq!((found.layers, found.left), (2, 0));
        assert!(share < 0.5, "{share} of the loss is left");
        repaired.into_parts().1
    };
    let (one, other) = (repaired("aten::relu"), repaired("aten::relu_"));
    assert!(one.iter().zip(&other).all(|(one, other)| one.equal(other)));
}

#[test]
fn steps_of_a_recurrent_cell_are_one_layer() {
    let mut net = Net::new(&[12]);
    let input = net.linear("a", 8).relu().here();
    let weights = [("w_ih", [48, 8]), ("w_hh", [48, 16])].map(|(name, shape)| (name, net.weight(name, &shape)));
    let biases = ["b_ih", "b_hh"].map(|name| (name, net.weight(name, &[48])));
    let mut state = net.linear("start", 16).here();
    for number in 0..3 {
        let mut args = vec![("input", Literal::Tensor(input)), ("hx", Literal::Tensor(state))];
        args.extend(weights.iter().chain(&biases).cloned());
        let shape = net.graph().value(state).shape.clone();
        state = net.node(&format!("cell.{number}"), "aten::gru_cell", &args, shape).here();
    }
    net.linear("out", 4);
    let (share, found) = remaining(case(&net, &[12]));
    assert_eq!((found.layers, found.left), (4, 0), "both matrices of the cell, its start and what reads it");
    assert!(share < 0.6, "{share} of the loss is left");
}

/// Sizes of a convolution: of the input without the batch, of the weight, and how the kernel lies.
struct Sizes {
    input: &'static [i64],
    weight: &'static [i64],
    stride: &'static [i64],
    padding: &'static [i64],
    output_padding: &'static [i64],
    dilation: &'static [i64],
    groups: i64,
}

impl Sizes {
    fn windows(&self) -> Windows {
        let [kernel, stride, padding, dilation] =
            [&self.weight[2..], self.stride, self.padding, self.dilation].map(<[i64]>::to_vec);
        Windows { kernel, stride, padding, dilation, groups: self.groups }
    }
}

/// Every place of the output once, and the weights come back out of their matrices.
fn assert_rows_times_the_matrix_are(form: &Form, input: &Tensor, weight: &Tensor, output: &Tensor) {
    let (columns, outputs) = layout::size(form, &weight.size());
    let mut rows = Rows::of(form, input, output, rows::wanted(columns), 5).unwrap();
    let matrices: Vec<Tensor> = (0..form.groups()).map(|group| layout::matrix(form, weight, group).unwrap()).collect();
    for (group, matrix) in matrices.iter().enumerate() {
        assert_eq!(matrix.size(), [columns, outputs]);
        let mut seen = 0;
        rows.each(group as i64, |inputs, targets| {
            seen += inputs.size()[0];
            assert!(inputs.matmul(matrix).allclose(targets, 1e-4, 1e-4, false), "{form:?}, group {group}");
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, output.size()[0] * output.size()[2..].iter().product::<i64>(), "{form:?}");
    }
    assert!(layout::weight(form, &weight.size(), &matrices).unwrap().equal(weight), "{form:?}");
}

/// The windows that rows are made of, against the convolution itself.
#[test]
fn rows_times_the_kernel_are_the_convolution() {
    let sizes = Sizes {
        input: &[4, 9, 7],
        weight: &[6, 2, 3, 2],
        stride: &[2, 1],
        padding: &[1, 2],
        output_padding: &[],
        dilation: &[1, 2],
        groups: 2,
    };
    let (input, weight) = (random(&[&[3], sizes.input].concat()), random(sizes.weight));
    let Sizes { stride, padding, dilation, groups, .. } = sizes;
    let output = input.conv2d(&weight, None::<Tensor>, stride, padding, dilation, groups);
    assert_rows_times_the_matrix_are(&Form::Convolution(sizes.windows()), &input, &weight, &output);
}

#[test]
fn rows_times_the_kernel_are_the_convolution_that_pads_to_the_same_size() {
    let (input, weight) = (random(&[3, 4, 9]), random(&[6, 4, 4]));
    let output = input.conv1d_padding(&weight, None::<Tensor>, [1], "same", [1], 1);
    let windows = Windows { kernel: vec![4], stride: vec![1], padding: vec![1], dilation: vec![1], groups: 1 };
    assert_rows_times_the_matrix_are(&Form::Convolution(windows), &input, &weight, &output);
}

#[test]
fn rows_times_the_kernel_are_the_transposed_convolution() {
    let plane = Sizes {
        input: &[4, 5, 6],
        weight: &[4, 3, 3, 2],
        stride: &[2, 3],
        padding: &[1, 0],
        output_padding: &[1, 2],
        dilation: &[2, 1],
        groups: 2,
    };
    let line = Sizes {
        input: &[4, 9],
        weight: &[4, 6, 5],
        stride: &[1],
        padding: &[3],
        output_padding: &[0],
        dilation: &[1],
        groups: 1,
    };
    let space = Sizes {
        input: &[4, 3, 4, 2],
        weight: &[4, 1, 2, 2, 3],
        stride: &[2, 2, 1],
        padding: &[0, 1, 1],
        output_padding: &[0, 1, 0],
        dilation: &[1, 1, 1],
        groups: 2,
    };
    for sizes in [line, plane, space] {
        let (input, weight) = (random(&[&[3], sizes.input].concat()), random(sizes.weight));
        let Sizes { stride, padding, output_padding, dilation, groups, .. } = sizes;
        let none = None::<Tensor>;
        let output = match stride.len() {
            1 => input.conv_transpose1d(&weight, none, stride, padding, output_padding, groups, dilation),
            2 => input.conv_transpose2d(&weight, none, stride, padding, output_padding, groups, dilation),
            _ => input.conv_transpose3d(&weight, none, stride, padding, output_padding, groups, dilation),
        };
        assert_rows_times_the_matrix_are(&Form::TransposedConvolution(sizes.windows()), &input, &weight, &output);
    }
}

/// What a layer that is linear in its weight leaves at the least: every column is what one entry of the weight alone gives.
fn least_loss(weight: &[i64], targets: &Tensor, apply: impl Fn(&Tensor) -> Tensor) -> f64 {
    let entries: i64 = weight.iter().product();
    let bias = |channel: i64| {
        let only = Tensor::zeros_like(targets);
        let _ = only.narrow(1, channel, 1).fill_(1.0);
        only.reshape([-1])
    };
    let of_entry = |entry: i64| {
        let only = Tensor::zeros([entries], (Kind::Float, Device::Cpu));
        let _ = only.narrow(0, entry, 1).fill_(1.0);
        apply(&only.reshape(weight)).reshape([-1])
    };
    let columns: Vec<Tensor> = (0..entries).map(of_entry).chain((0..targets.size()[1]).map(bias)).collect();
    let (matrix, target) =
        (Tensor::stack(&columns, 1).to_kind(Kind::Double), targets.reshape([-1, 1]).to_kind(Kind::Double));
    let (solution, ..) = matrix.linalg_lstsq(&target, None, "gelsd");
    (matrix.matmul(&solution) - target).square().mean(Kind::Double).double_value(&[])
}

/// A decoder's end: the fit is as good as an exact one that never heard of windows.
#[test]
fn a_transposed_convolution_comes_as_near_as_it_can() {
    let mut net = Net::new(&[3, 6, 6]);
    let size =
        |channels: i64, side: i64| [Size::BATCH, Size::fixed(channels), Size::fixed(side), Size::fixed(side)].to_vec();
    let first = [
        ("input", Literal::Tensor(net.here())),
        ("weight", net.weight("a", &[8, 3, 1, 1])),
        ("bias", Literal::None),
        ("stride", ints(&[1, 1])),
        ("padding", ints(&[0, 0])),
        ("dilation", ints(&[1, 1])),
        ("groups", int(1)),
    ];
    let up = net.node("a", "aten::conv2d", &first, size(8, 6)).relu().here();
    let (weight, bias) = (net.weight("up.weight", &[8, 2, 3, 3]), net.weight("up.bias", &[4]));
    let args = [
        ("input", Literal::Tensor(up)),
        ("weight", weight),
        ("bias", bias),
        ("stride", ints(&[2, 2])),
        ("padding", ints(&[1, 1])),
        ("dilation", ints(&[1, 1])),
        ("transposed", Literal::Bool(true)),
        ("output_padding", ints(&[1, 1])),
        ("groups", int(2)),
    ];
    net.node("up", "aten::convolution", &args, size(4, 12));
    let case = case(&net, &[3, 6, 6]);
    let input = case.split.range(0..200).unwrap();
    let targets = case.original.answers(&input).unwrap().remove(0);
    let mut walk = Walk::new(&case.cut.graph, &input);
    walk.to(2, &[up], case.pruned.weights()).unwrap();
    let read = walk.value(up).unwrap();
    let apply = |weight: &Tensor| read.conv_transpose2d(weight, None::<Tensor>, [2, 2], [1, 1], [1, 1], 2, [1, 1]);
    let least = least_loss(&[4, 2, 3, 3], &targets, apply);
    let (repaired, found) = reconstruct(&case.original, &case.cut, case.pruned, &case.split, 200, 0).unwrap();
    let after = (repaired.answers(&input).unwrap().remove(0) - &targets).square().mean(Kind::Double).double_value(&[]);
    assert_eq!((found.layers, found.left), (1, 0));
    assert!(after < 1.01 * least, "{after} is left, {least} would do");
}
