//! Accuracy of a network on a split, and agreement of two networks where there are no labels.

use secateur_core::recovery::Accuracy;
use tch::Tensor;

use crate::data::{EVALUATION_BATCH, Split, ranges};
use crate::error::Error;
use crate::network::Network;

/// The first output for every sample, `[N, classes]`.
pub fn logits(network: &Network, split: &Split) -> Result<Tensor, Error> {
    let batches: Vec<Tensor> = ranges(split.count(), EVALUATION_BATCH)
        .map(|range| network.logits(split.range(range)?))
        .collect::<Result<_, _>>()?;
    Ok(Tensor::f_cat(&batches, 0)?)
}

/// Share of samples whose class of largest output is the label; `None` without labels or samples.
pub fn accuracy(network: &Network, split: &Split) -> Result<Option<f64>, Error> {
    match split.labels() {
        Some(labels) if split.count() > 0 => Ok(Some(accuracy_of(&logits(network, split)?, labels)?)),
        _ => Ok(None),
    }
}

/// Share of samples whose class of largest output is the label.
pub fn accuracy_of(logits: &Tensor, labels: &Tensor) -> Result<f64, Error> {
    share_of_equal(&logits.f_argmax(1, false)?, labels)
}

/// Accuracy on both held-out splits; `None` when one of them has no labels.
pub fn held_out(network: &Network, val: &Split, test: &Split) -> Result<Option<Accuracy>, Error> {
    let (val, test) = (accuracy(network, val)?, accuracy(network, test)?);
    Ok(val.zip(test).map(|(val, test)| Accuracy { val, test }))
}

/// Share of places where two networks' largest outputs over dim 1 are of the same class.
pub fn agreement(logits: &Tensor, others: &Tensor) -> Result<f64, Error> {
    share_of_equal(&logits.f_argmax(1, false)?, &others.f_argmax(1, false)?)
}

fn share_of_equal(classes: &Tensor, others: &Tensor) -> Result<f64, Error> {
    let equal = classes.f_eq_tensor(others)?.f_sum(tch::Kind::Int64)?.f_int64_value(&[])?;
    Ok(equal as f64 / classes.numel().max(1) as f64)
}
