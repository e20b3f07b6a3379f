//! Losses, their gradients and metrics against the numbers that PyTorch 2.11 gives for the same tensors, by the functions of
//! `torch.nn.functional` that the comments name.

use secateur_core::recovery::{Measure, Supervision, SupervisionLoss};
use tch::{Kind, Tensor};

use super::*;

/// 2 sin(step · i), the same in both.
fn wave(shape: &[i64], step: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|index| (2.0 * (index as f64 * step).sin()) as f32).collect();
    Tensor::from_slice(&numbers).view(shape)
}

fn labels(values: &Tensor, loss: SupervisionLoss, metric: Measure, axes: (usize, Option<usize>)) -> Labels {
    let (batch_axis, axis) = axes;
    let supervision = Supervision { loss, metric, batch_axis, axis, ..Supervision::of_classes() };
    Labels::of_tensor(values.copy(), supervision)
}

/// Loss, norm of its gradient with respect to the answers and the second element of that gradient.
#[track_caller]
fn assert_loss(labels: &Labels, answer: &Tensor, values: &Tensor, expected: [f64; 3]) {
    let answer = answer.copy().set_requires_grad(true);
    let loss = supervised_loss(labels, &[answer.shallow_clone()], values, Smoothing::AsAsked).unwrap();
    loss.backward();
    let gradient = answer.grad();
    let norm = gradient.to_kind(Kind::Double).norm().double_value(&[]);
    let found = [loss.double_value(&[]), norm, gradient.flatten(0, -1).double_value(&[1])];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}

#[track_caller]
fn assert_metrics(labels: &Labels, answer: &Tensor, values: &Tensor, value: f64, others: &[(Measure, f64)]) {
    // Samples one after the other are judged as they are together.
    let batch_axis = labels.supervision().batch_axis as i64;
    let mut tally = Tally::new(labels);
    for sample in 0..values.size()[0] {
        tally.add(&[answer.narrow(batch_axis, sample, 1)], &values.narrow(0, sample, 1)).unwrap();
    }
    let judged = tally.finish().unwrap();
    assert!((judged.value - value).abs() < 1e-5, "{judged:?} is not {value}");
    assert_eq!(judged.others.len(), others.len(), "{judged:?}");
    for (found, expected) in judged.others.iter().zip(others) {
        assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-5, "{judged:?} is not {others:?}");
    }
}

/// `cross_entropy`.
#[test]
fn classes_of_samples() {
    let (answer, values) = (wave(&[4, 6], 1.3), Tensor::from_slice(&[1_i64, 0, 5, 2]));
    let of_classes = labels(&values, SupervisionLoss::CrossEntropy, Measure::Accuracy, (0, Some(1)));
    assert_loss(&of_classes, &answer, &values, [1.292_149, 0.405_061, -0.114_072]);
    assert_metrics(&of_classes, &answer, &values, 0.5, &[(Measure::Top5Accuracy, 1.0)]);
}

/// `cross_entropy(label_smoothing=0.1)`; the loss of a validation has none.
#[test]
fn smoothed_classes() {
    let (answer, values) = (wave(&[4, 6], 1.3), Tensor::from_slice(&[1_i64, 0, 5, 2]));
    let supervision = Supervision { label_smoothing: 0.1, ..Supervision::of_classes() };
    let smoothed = Labels::of_tensor(values.copy(), supervision);
    assert_loss(&smoothed, &answer, &values, [1.421_930, 0.365_744, -0.093_238]);
    let plain = supervised_loss(&smoothed, &[answer], &values, Smoothing::None).unwrap();
    assert!((plain.double_value(&[]) - 1.292_149).abs() < 1e-5);
}

/// `cross_entropy(ignore_index=255)`, with labels as bytes.
#[test]
fn classes_of_pixels() {
    let answer = wave(&[2, 3, 2, 2], 0.7);
    let values = Tensor::from_slice(&[0_u8, 1, 2, 255, 1, 1, 0, 255]).view([2, 2, 2]);
    let ignoring = |values: &Tensor| {
        let supervision = Supervision {
            metric: Measure::MeanIou,
            ignore_index: Some(255),
            classes: Some(3),
            ..Supervision::of_classes()
        };
        Labels::of_tensor(values.copy(), supervision)
    };
    assert_loss(&ignoring(&values), &answer, &values, [2.390_309, 0.446_104, 0.117_220]);
    let values = Tensor::from_slice(&[1_u8, 0, 1, 255, 2, 1, 0, 255]).view([2, 2, 2]);
    assert_metrics(&ignoring(&values), &answer, &values, 1.0 / 3.0, &[(Measure::Accuracy, 0.5)]);
}

/// Nothing counts, and nothing is divided by nothing.
#[test]
fn a_batch_in_which_nothing_counts_has_no_loss() {
    let (answer, values) = (wave(&[4, 6], 1.3), Tensor::from_slice(&[-100_i64; 4]));
    let of_classes = labels(&values, SupervisionLoss::CrossEntropy, Measure::Accuracy, (0, Some(1)));
    assert_loss(&of_classes, &answer, &values, [0.0; 3]);
    assert_metrics(&of_classes, &answer, &values, 0.0, &[(Measure::Top5Accuracy, 0.0)]);
}

/// `cross_entropy` of scores `[N, T, C]` and `[T, N, C]`; -100 never counts.
#[test]
fn classes_of_tokens() {
    let answer = wave(&[2, 3, 4], 0.9);
    let values = Tensor::from_slice(&[0_i64, 3, -100, 2, 1, 1]).view([2, 3]);
    let expected = [1.804_227, 0.452_861, 0.063_226];
    let batch_first = labels(&values, SupervisionLoss::CrossEntropy, Measure::Accuracy, (0, Some(2)));
    assert_loss(&batch_first, &answer, &values, expected);
    assert_metrics(&batch_first, &answer, &values, 0.2, &[]);
    let batch_second = labels(&values, SupervisionLoss::CrossEntropy, Measure::Accuracy, (1, Some(2)));
    assert_loss(&batch_second, &answer.movedim_int(0, 1).contiguous(), &values, expected);
}

/// `cross_entropy` with probabilities.
#[test]
fn distributions() {
    let answer = wave(&[4, 6], 1.3);
    let values = Tensor::from_slice(&[0.1_f32, 0.2, 0.7, 0.0, 0.0, 0.0].repeat(4)).view([4, 6]);
    let soft = labels(&values, SupervisionLoss::SoftCrossEntropy, Measure::Accuracy, (0, Some(1)));
    assert_loss(&soft, &answer, &values, [2.654_884, 0.376_624, 0.085_928]);
}

/// `binary_cross_entropy_with_logits`, with labels as bytes.
#[test]
fn several_things_at_once() {
    let answer = wave(&[4, 6], 1.3);
    let values = Tensor::from_slice(&[0_u8, 1, 1, 0, 0, 1].repeat(4)).view([4, 6]);
    let decisions = labels(&values, SupervisionLoss::Bce, Measure::F1, (0, None));
    assert_loss(&decisions, &answer, &values, [0.932_846, 0.118_716, -0.005_295]);
    assert_metrics(&decisions, &answer, &values, 0.5, &[(Measure::Accuracy, 0.5)]);
}

/// `mse_loss`, `l1_loss` and `huber_loss` of answers and labels over the labels' standard deviation by channel; R2, mean absolute and root
/// mean squared error by their formulas in NumPy.
#[test]
fn values() {
    let (answer, values) = (wave(&[4, 6], 1.3), wave(&[4, 6], 0.31));
    let expected = [
        (SupervisionLoss::Mse, [2.108_234, 0.432_736, 0.072_021]),
        (SupervisionLoss::L1, [1.177_528, 0.150_290, 0.033_753]),
        (SupervisionLoss::Huber, [0.778_370, 0.124_420, 0.033_753]),
    ];
    for (loss, expected) in expected {
        let regression = labels(&values, loss, Measure::R2, (0, Some(1)));
        assert_loss(&regression, &answer, &values, expected);
        let others = [(Measure::MeanAbsoluteError, 1.611_060), (Measure::RootMeanSquaredError, 2.004_687)];
        assert_metrics(&regression, &answer, &values, -1.108_234, &others);
    }
    // One number a sample may lack the dimension that the output has.
    let single = Labels::of_tensor(
        values.select(1, 0),
        labels(&values, SupervisionLoss::Mse, Measure::R2, (0, Some(1))).supervision().clone(),
    );
    let loss = supervised_loss(&single, &[answer.narrow(1, 0, 1)], &values.select(1, 0), Smoothing::None);
    assert!(loss.unwrap().double_value(&[]).is_finite());
}

/// `ctc_loss(zero_infinity=True)`; a label is padded with the blank, or with -100.
#[test]
fn sequences_that_are_read() {
    let answer = wave(&[2, 6, 5], 1.1);
    for padding in [0_i64, -100] {
        let values = Tensor::from_slice(&[1, 2, 2, 4, 3, padding]).view([2, 3]);
        let read = labels(&values, SupervisionLoss::Ctc { blank: 0 }, Measure::EditSimilarity, (0, Some(2)));
        assert_loss(&read, &answer, &values, [3.504_821, 0.500_717, -0.085_438]);
        // 1 2 3 4 is read of both: two replacements of four, and three steps of four.
        assert_metrics(&read, &answer, &values, 0.375, &[(Measure::ExactSequences, 0.0)]);
    }
}
