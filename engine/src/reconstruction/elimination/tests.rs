use secateur_core::configuration::Configuration;
use secateur_core::graph::{Literal, Size};
use secateur_core::group::Grouping;
use secateur_core::testing::{Net, int, ints};
use tch::{Kind, Tensor};

use super::super::reconstruct;
use super::super::tests::{network, random};
use super::*;
use crate::network::cut;

/// What is left of the variance of `outputs` by the best linear combination of `inputs` and a constant.
fn unexplained(inputs: &Tensor, outputs: &Tensor) -> f64 {
    let centred = |tensor: &Tensor| tensor - tensor.mean_dim(0, true, Kind::Double);
    let (x, y) = (centred(&inputs.to_kind(Kind::Double)), centred(&outputs.to_kind(Kind::Double)));
    let turned = x.transpose(0, 1);
    let solved = Tensor::linalg_solve(&turned.matmul(&x), &turned.matmul(&y), true);
    let left = &y - x.matmul(&solved);
    left.square().sum(Kind::Double).double_value(&[]) / y.square().sum(Kind::Double).double_value(&[])
}

fn eliminated(original: &Network, grouping: &Grouping, split: &Split, group: usize) -> Elimination {
    let eliminator = Eliminator { original, grouping, split, most_samples: split.count(), seed: 0 };
    eliminator.eliminate(group).unwrap().unwrap()
}

/// Two layers read the same ten channels, of which the last two are copies.
#[test]
fn the_error_of_every_width_is_that_of_a_least_squares_fit() {
    let _no_grad = tch::no_grad_guard();
    tch::manual_seed(4);
    let mut net = Net::new(&[12]);
    let hidden = net.linear("a", 10).relu().here();
    let one = net.linear("b", 6).here();
    net.at(hidden).linear("c", 6).add(one);
    let mut original = network(&net);
    for name in ["a.weight", "a.bias"] {
        let index = original.graph().parameters().iter().position(|parameter| parameter.name == name).unwrap();
        let weight = &mut original.weights_mut()[index];
        let first = weight.narrow(0, 0, 2).copy();
        weight.narrow(0, 8, 2).copy_(&first);
    }
    let input = random(&[400, 12]);
    let weight = |name: &str| {
        let index = original.graph().parameters().iter().position(|parameter| parameter.name == name).unwrap();
        original.weights()[index].shallow_clone()
    };
    let hidden = (input.matmul(&weight("a.weight").transpose(0, 1)) + weight("a.bias")).relu();
    let grouping = Grouping::of(original.graph());
    let group = grouping.groups().iter().position(|group| group.channels() == 10).unwrap();
    let split = Split::of_tensors(input, None);
    let Elimination { order, errors } = eliminated(&original, &grouping, &split, group);

    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..10).collect::<Vec<u32>>());
    assert_eq!(errors.len(), 10);
    for width in 1..=10 {
        let kept: Vec<i64> = order[..width].iter().map(|&channel| i64::from(channel)).collect();
        let kept = hidden.index_select(1, &Tensor::from_slice(&kept));
        let wanted: f64 = ["b.weight", "c.weight"]
            .map(|name| unexplained(&kept, &hidden.matmul(&weight(name).transpose(0, 1))))
            .iter()
            .sum();
        let found = errors[width - 1];
        assert!((found - wanted).abs() < 0.02 * wanted + 0.005, "width {width}: {found}, by a fit {wanted}");
    }
    let first_to_go: Vec<u32> = order[8..].iter().map(|channel| channel % 8).collect();
    assert!(errors[7] < 0.01, "the copies cost nothing: {errors:?}");
    assert!(first_to_go.iter().all(|&channel| channel < 2) && first_to_go[0] != first_to_go[1], "{order:?}");
}

/// What is lost is counted on the windows that a convolution meets, for every place of its kernel; one that nothing needs goes first,
/// whatever the size of its weights.
#[test]
fn a_channel_that_never_changes_goes_before_one_of_small_weights() {
    let _no_grad = tch::no_grad_guard();
    tch::manual_seed(6);
    let mut net = Net::new(&[3, 8, 8]);
    convolution(&mut net, "a", 6, 1);
    convolution(&mut net, "b", 4, 1);
    let mut original = network(&net);
    let of = |network: &Network, name: &str| {
        network.graph().parameters().iter().position(|parameter| parameter.name == name).unwrap()
    };
    let (filters, readers) = (of(&original, "a.weight"), of(&original, "b.weight"));
    let _ = original.weights_mut()[filters].get(4).zero_();
    let _ = original.weights_mut()[readers].narrow(1, 4, 1).fill_(50.0);
    let _ = original.weights_mut()[readers].narrow(1, 2, 1).f_mul_scalar_(0.05).unwrap();
    let grouping = Grouping::of(original.graph());
    let split = Split::of_tensors(random(&[64, 3, 8, 8]), None);
    let Elimination { order, errors } = eliminated(&original, &grouping, &split, 0);
    assert_eq!(order[4..], [2, 4], "{order:?}");
    assert!(errors[4] < 1e-3 && errors[3] < 0.02 && errors[2] > 0.1, "{errors:?}");
}

/// A convolution of 3 × 3 without padding.
fn convolution(net: &mut Net, name: &str, outputs: i64, groups: i64) {
    let input = net.here();
    let shape = net.graph().value(input).shape.clone();
    let args = [
        ("input", Literal::Tensor(input)),
        ("weight", net.weight(&format!("{name}.weight"), &[outputs, shape[1].fixed / groups, 3, 3])),
        ("bias", net.weight(&format!("{name}.bias"), &[outputs])),
        ("stride", ints(&[1, 1])),
        ("padding", ints(&[0, 0])),
        ("dilation", ints(&[1, 1])),
        ("groups", int(groups)),
    ];
    let side = |axis: usize| Size::fixed(shape[axis].fixed - 2);
    net.node(name, "aten::conv2d", &args, vec![Size::BATCH, Size::fixed(outputs), side(2), side(3)]);
}

/// A transposed convolution of 3 × 3 that doubles the sides.
fn up(net: &mut Net, name: &str, outputs: i64, groups: i64) {
    let input = net.here();
    let shape = net.graph().value(input).shape.clone();
    let args = [
        ("input", Literal::Tensor(input)),
        ("weight", net.weight(&format!("{name}.weight"), &[shape[1].fixed, outputs / groups, 3, 3])),
        ("bias", net.weight(&format!("{name}.bias"), &[outputs])),
        ("stride", ints(&[2, 2])),
        ("padding", ints(&[1, 1])),
        ("dilation", ints(&[1, 1])),
        ("transposed", Literal::Bool(true)),
        ("output_padding", ints(&[1, 1])),
        ("groups", int(groups)),
    ];
    let side = |axis: usize| Size::fixed(shape[axis].fixed * 2);
    net.node(name, "aten::convolution", &args, vec![Size::BATCH, Size::fixed(outputs), side(2), side(3)]);
}

/// Asks the repair itself: it cuts, fits the layer and runs it. Each group of the layer's outputs is a reader.
#[test]
fn what_is_lost_is_what_the_repair_leaves() {
    type Layer = fn(&mut Net, &str, i64, i64);
    let layers: [(&str, Layer); 2] = [("a convolution", convolution), ("a transposed convolution", up)];
    let cases = layers
        .iter()
        .flat_map(|&(name, layer)| [1, 2].map(|groups| (format!("{name}, {groups} groups"), groups, layer)));
    for (name, groups, last) in cases {
        tch::manual_seed(8);
        let _no_grad = tch::no_grad_guard();
        let mut net = Net::new(&[3, 10, 10]);
        convolution(&mut net, "a", 12, 1);
        net.relu();
        last(&mut net, "b", 4, groups);
        let original = network(&net);
        let grouping = Grouping::of(original.graph());
        let split = Split::of_tensors(random(&[60, 3, 10, 10]), None);
        let Elimination { order, errors } = eliminated(&original, &grouping, &split, 0);
        let channels = grouping.groups()[0].channels();
        let width = channels / 2;
        let mut kept = order[..width].to_vec();
        kept.sort_unstable();
        let (cut, pruned) = cut::network(&original, &grouping, &Configuration { keep: vec![kept] }).unwrap();
        let (repaired, found) = reconstruct(&original, &cut, pruned, &split, 60, 0).unwrap();
        assert_eq!(found.layers, 1, "{name}");

        let input = split.range(0..60).unwrap();
        let [wanted, given] = [&original, &repaired].map(|network| network.answers(&input).unwrap().remove(0));
        let parts = wanted.chunk(groups, 1).into_iter().zip(given.chunk(groups, 1));
        let lost: f64 = parts
            .map(|(wanted, given)| {
                let sum = |tensor: Tensor| tensor.square().sum(Kind::Double).double_value(&[]);
                sum(&given - &wanted) / sum(&wanted - wanted.mean_dim([0, 2, 3].as_slice(), true, Kind::Float))
            })
            .sum();
        let said = errors[width - 1];
        assert!(lost > 0.02 && (said - lost).abs() < 0.05 * lost, "{name}: {said} was said, {lost} is lost");
    }
}
