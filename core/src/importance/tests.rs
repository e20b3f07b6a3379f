use proptest::prelude::*;

use super::*;
use crate::graph::Graph;
use crate::testing::Net;

/// Two linear layers: the one group has the rows of `a` and the columns of `b`.
fn perceptron() -> Graph {
    let mut net = Net::new(&[2]);
    net.linear("a", 3).linear("b", 1);
    net.graph()
}

fn named<const N: usize>(tensors: [(&str, Vec<f32>); N]) -> Weights {
    tensors.into_iter().map(|(name, values)| (name.to_owned(), values)).collect()
}

/// Rows of `a` weigh 2, 4, 0 and columns of `b` 0, 1, 3.
fn perceptron_weights() -> Weights {
    named([
        ("a.weight", vec![1.0, -1.0, 2.0, 2.0, 0.0, 0.0]),
        ("a.bias", vec![100.0, 0.0, 0.0]),
        ("b.weight", vec![0.0, -1.0, 3.0]),
        ("b.bias", vec![0.0]),
    ])
}

/// Two convolutions of 1×1 kernels with a batch norm between them.
fn normalised() -> Graph {
    let mut net = Net::new(&[1, 2, 2]);
    net.conv("a", 3, 1, 1).batch_norm("bn").relu().conv("b", 1, 1, 1);
    net.graph()
}

fn normalised_weights() -> Weights {
    named([
        ("a.weight", vec![1.0, 2.0, 4.0]),
        ("a.bias", vec![0.0; 3]),
        ("bn.weight", vec![-0.5, 0.25, 0.0]),
        ("bn.bias", vec![9.0; 3]),
        ("bn.running_mean", vec![9.0; 3]),
        ("bn.running_var", vec![9.0; 3]),
        ("b.weight", vec![10.0, 20.0, 0.0]),
        ("b.bias", vec![0.0]),
    ])
}

fn spec(criterion: Criterion, normalisation: Normalisation) -> ImportanceSpec {
    ImportanceSpec { criterion, normalisation }
}

fn measure(graph: &Graph, weights: &Weights, spec: ImportanceSpec) -> Importance {
    let grouping = Grouping::of(graph);
    Importance::measure(
        &Evidence { graph, grouping: &grouping, weights, on_samples: OnSamples::Saliency(weights) },
        spec,
    )
}

fn order(graph: &Graph, weights: &Weights, spec: ImportanceSpec) -> Vec<u32> {
    measure(graph, weights, spec).order(0).to_vec()
}

/// The scores are these, divided by their mean.
#[track_caller]
fn assert_relative(importance: &Importance, expected: [f64; 3]) {
    let mean = expected.iter().sum::<f64>() / 3.0;
    for (score, expected) in importance.scores(0).iter().zip(expected) {
        assert!((score - expected / mean).abs() < 1e-12, "{:?} for {expected}", importance.scores(0));
    }
}

#[test]
fn l1_adds_the_magnitudes_of_a_channels_row_and_column() {
    let importance = measure(&perceptron(), &perceptron_weights(), spec(Criterion::L1, Normalisation::None));
    // Biases do not count.
    assert_relative(&importance, [2.0, 5.0, 3.0]);
    assert_eq!(importance.order(0), [1, 2, 0]);
    assert_eq!(importance.most_important(0, 2), [1, 2]);
}

#[test]
fn l2_adds_the_norms_of_a_channels_row_and_column() {
    let importance = measure(&perceptron(), &perceptron_weights(), spec(Criterion::L2, Normalisation::None));
    assert_relative(&importance, [2.0_f64.sqrt(), 8.0_f64.sqrt() + 1.0, 3.0]);
}

#[test]
fn bn_scale_is_the_magnitude_of_the_batch_norms_weight() {
    let importance = measure(&normalised(), &normalised_weights(), spec(Criterion::BnScale, Normalisation::None));
    assert_relative(&importance, [0.5, 0.25, 0.0]);
}

#[test]
fn a_group_without_a_batch_norm_is_ordered_by_l1_and_named() {
    let graph = perceptron();
    let by = |criterion| measure(&graph, &perceptron_weights(), spec(criterion, Normalisation::None));
    assert_eq!(by(Criterion::BnScale), by(Criterion::L1));
    assert_eq!(groups_without(Criterion::BnScale, &graph, &Grouping::of(&graph)), ["a"]);
    let graph = normalised();
    for criterion in [Criterion::L1, Criterion::L2, Criterion::BnScale, Criterion::Fpgm, Criterion::Taylor] {
        assert!(groups_without(criterion, &graph, &Grouping::of(&graph)).is_empty());
    }
}

#[test]
fn fpgm_is_the_sum_of_distances_to_the_other_filters() {
    let importance = measure(&perceptron(), &perceptron_weights(), spec(Criterion::Fpgm, Normalisation::None));
    // The filters are (1, -1), (2, 2) and (0, 0); `b`'s columns are no filters.
    let (first_second, first_third, second_third) = (10.0_f64.sqrt(), 2.0_f64.sqrt(), 8.0_f64.sqrt());
    let sums = [first_second + first_third, first_second + second_third, first_third + second_third];
    assert_relative(&importance, sums);
}

#[test]
fn fpgm_ranks_the_filter_in_the_middle_last() {
    let importance = measure(&normalised(), &normalised_weights(), spec(Criterion::Fpgm, Normalisation::None));
    // 1, 2 and 4 on a line: distances 1 + 3, 1 + 2, 3 + 2.
    assert_eq!(importance.order(0), [2, 0, 1]);
}

#[test]
fn taylor_adds_saliencies_and_looks_at_no_weight() {
    let graph = perceptron();
    let grouping = Grouping::of(&graph);
    let saliency = named([
        ("a.weight", vec![0.5, 0.25, 0.0, 0.0, 0.0, 1.0]),
        ("a.bias", vec![7.0; 3]),
        ("b.weight", vec![0.25, 0.5, 2.0]),
        ("b.bias", vec![7.0]),
    ]);
    let weights = perceptron_weights();
    let evidence =
        Evidence { graph: &graph, grouping: &grouping, weights: &weights, on_samples: OnSamples::Saliency(&saliency) };
    let importance = Importance::measure(&evidence, spec(Criterion::Taylor, Normalisation::None));
    assert_relative(&importance, [1.0, 0.5, 3.0]);
}

#[test]
fn with_group_normalisation_every_tensor_counts_alike() {
    let importance = measure(&normalised(), &normalised_weights(), spec(Criterion::L1, Normalisation::Group));
    // Filters 1, 2, 4 with mean 7/3; columns 10, 20, 0 with mean 10; scales 1/2, 1/4, 0 with mean 1/4.
    assert_relative(&importance, [3.0 / 7.0 + 1.0 + 2.0, 6.0 / 7.0 + 2.0 + 1.0, 12.0 / 7.0]);
    let plain = measure(&normalised(), &normalised_weights(), spec(Criterion::L1, Normalisation::None));
    assert_relative(&plain, [11.0, 22.0, 4.0]);
}

#[test]
fn equal_channels_are_ordered_by_index() {
    let ones = |count| vec![1.0; count];
    let weights = named([("a.weight", ones(6)), ("a.bias", ones(3)), ("b.weight", ones(3)), ("b.bias", ones(1))]);
    for criterion in CRITERIA {
        assert_eq!(measure(&perceptron(), &weights, spec(criterion, Normalisation::None)).order(0), [0, 1, 2]);
    }
}

const CRITERIA: [Criterion; 5] = [Criterion::L1, Criterion::L2, Criterion::BnScale, Criterion::Fpgm, Criterion::Taylor];

const CHANNELS: usize = 6;

/// A convolution of 3×3 kernels with a batch norm, which a block of a residual stream follows.
fn residual() -> Graph {
    let mut net = Net::new(&[2, 4, 4]);
    net.conv("stem", CHANNELS as i64, 3, 1).batch_norm("bn");
    let stream = net.here();
    net.conv("block", CHANNELS as i64, 3, 1).add(stream).mean(&[2, 3], false).linear("head", 3);
    net.graph()
}

/// Tensors of a graph, each element what `value` says, by tensor and index.
fn filled(graph: &Graph, mut value: impl FnMut(&str, usize) -> f32) -> Weights {
    let tensor = |parameter: &crate::graph::Parameter| {
        let elements = graph.value(parameter.value).shape.iter().map(|size| size.fixed as usize).product();
        (parameter.name.clone(), (0..elements).map(|index| value(&parameter.name, index)).collect())
    };
    graph.parameters().iter().map(tensor).collect()
}

fn random(graph: &Graph, seed: u64) -> Weights {
    use rand::{RngExt, SeedableRng};
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    filled(graph, |_, _| generator.random::<f32>() - 0.5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Powers of two scale floats exactly, so that ties stay ties.
    #[test]
    fn no_order_depends_on_the_scale_of_all_weights(seed: u64, exponent in -6i32..6) {
        let graph = residual();
        let weights = random(&graph, seed);
        let scaled = filled(&graph, |name, index| weights[name][index] * 2f32.powi(exponent));
        for criterion in CRITERIA {
            for normalisation in [Normalisation::None, Normalisation::Group] {
                let spec = spec(criterion, normalisation);
                prop_assert_eq!(order(&graph, &weights, spec), order(&graph, &scaled, spec));
            }
        }
    }

    #[test]
    fn with_group_normalisation_no_order_depends_on_the_scale_of_one_tensor(seed: u64, exponent in -6i32..6) {
        let graph = residual();
        let weights = random(&graph, seed);
        let scaled = filled(&graph, |name, index| {
            weights[name][index] * if name == "block.weight" { 2f32.powi(exponent) } else { 1.0 }
        });
        for criterion in CRITERIA {
            let spec = spec(criterion, Normalisation::Group);
            prop_assert_eq!(order(&graph, &weights, spec), order(&graph, &scaled, spec));
        }
    }

    /// Biases and running statistics say nothing about a channel's importance.
    #[test]
    fn no_score_depends_on_biases_and_statistics(seed: u64, other: u64) {
        let graph = residual();
        let (weights, noise) = (random(&graph, seed), random(&graph, other));
        let changed = filled(&graph, |name, index| {
            if name.contains("bias") || name.contains("running") { noise[name][index] } else { weights[name][index] }
        });
        for criterion in CRITERIA {
            for normalisation in [Normalisation::None, Normalisation::Group] {
                let spec = spec(criterion, normalisation);
                prop_assert_eq!(measure(&graph, &weights, spec), measure(&graph, &changed, spec));
            }
        }
    }

    /// Moving all filters of a layer by one vector moves their geometric median along.
    #[test]
    fn fpgm_does_not_depend_on_where_the_filters_are(seed: u64, offset in -2.0f32..2.0) {
        let graph = residual();
        let weights = random(&graph, seed);
        let moved = filled(&graph, |name, index| weights[name][index] + if name == "stem.weight" { offset } else { 0.0 });
        let spec = spec(Criterion::Fpgm, Normalisation::None);
        let (before, after) = (measure(&graph, &weights, spec), measure(&graph, &moved, spec));
        for (before, after) in before.scores(0).iter().zip(after.scores(0)) {
            prop_assert!((before - after).abs() < 1e-5, "{before} before, {after} after");
        }
    }

    /// Channels are told apart by their weights alone: renumbering them renumbers their scores.
    #[test]
    fn scores_follow_their_channels(seed: u64, turn in 1..CHANNELS) {
        let graph = residual();
        let weights = random(&graph, seed);
        let source = |channel: usize| (channel + turn) % CHANNELS;
        let turned = filled(&graph, |name, index| {
            let tensor = &weights[name];
            let from = match name {
                "stem.weight" => source(index / 18) * 18 + index % 18,
                "block.weight" => {
                    let (row, column) = (index / 9 / CHANNELS, index / 9 % CHANNELS);
                    (source(row) * CHANNELS + source(column)) * 9 + index % 9
                }
                "head.weight" => index / CHANNELS * CHANNELS + source(index % CHANNELS),
                "bn.weight" => source(index),
                _ => index,
            };
            tensor[from]
        });
        for criterion in CRITERIA {
            for normalisation in [Normalisation::None, Normalisation::Group] {
                let spec = spec(criterion, normalisation);
                let (before, after) = (measure(&graph, &weights, spec), measure(&graph, &turned, spec));
                for channel in 0..CHANNELS {
                    let (expected, found) = (before.scores(0)[source(channel)], after.scores(0)[channel]);
                    prop_assert!((expected - found).abs() < 1e-12, "{criterion:?}: {expected} and {found}");
                }
            }
        }
    }
}
