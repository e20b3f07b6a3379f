//! How pruned networks are trained: the loss, the optimiser, and when training ends.

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::number::{Positive, UnitInterval};
use crate::output::OutputSpec;
use crate::rejection::Rejection;

/// The loss that fine-tuning minimises. Each of those with labels is mixed with distillation by `distill`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Objective {
    /// With labels the loss that fits them and the model's output, without labels `distill`.
    Auto,
    /// Cross-entropy over the class axis: labels are numbers of classes, one for each place, or distributions in the shape of the scores.
    CrossEntropy,
    /// Binary cross-entropy: labels are 0, 1 or probabilities, in the shape of the output.
    Bce,
    /// Squared difference over the variance of the labels' channel.
    Mse,
    /// Absolute difference over the standard deviation of the labels' channel.
    L1,
    /// Squared up to one standard deviation and linear beyond (Huber).
    Huber,
    /// Connectionist temporal classification (Graves et al., 2006): labels are sequences of classes, shorter than the output's.
    Ctc,
    /// Distillation from the original network alone; needs no labels.
    Distill,
}

impl Objective {
    /// The name in specs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it cannot be had without labels.
    pub fn needs_labels(self) -> bool {
        !matches!(self, Self::Auto | Self::Distill)
    }
}

/// The optimiser of the fine-tune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// `sgd` for a classifier of whole samples with batch norm and without recurrent layers, `adamw` for every other network.
    Auto,
    /// SGD with Nesterov momentum 0.9.
    Sgd,
    /// AdamW with PyTorch's betas.
    Adamw,
}

/// The type that convolutions and matrix products are computed in while a network is trained; weights, gradients, validation and the
/// report stay what they are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Precision {
    /// `bfloat16` where a step of the network that is trained is measured to be faster with it by more than an eighth, else `float32`;
    /// always `float32` where a step takes less than a billion multiply-accumulates, or the whole fine-tune less than 50 steps. What is
    /// measured differs from machine to machine, and so may the weights; the two others do not.
    Auto,
    /// That of the weights.
    Float32,
    /// Eight bits of mantissa, as PyTorch's `autocast` uses them.
    Bfloat16,
}

/// What batch norm normalises by while a network is trained.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BatchNorm {
    /// `frozen` where a trial of a few steps with the network ends at a loss lower by more than a fifth, else `train`; always `train`
    /// with `sgd`, where `lr` is named, or where the fine-tune has less than 40 steps.
    Auto,
    /// By the mean and variance of each batch, which the running statistics follow, as PyTorch's `train()` does it.
    Train,
    /// By the running statistics, which stay as the repair has left them, as after `eval()`; its scale and shift are trained.
    Frozen,
}

/// A random change of the training samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// Mirror each sample left to right with probability 1/2, and its mask with it.
    Hflip,
    /// Pad by an eighth of the width with zeros and crop a random window of the original size, out of a mask too; what is padded there does
    /// not count.
    Crop,
    /// Change brightness, contrast and, of three channels, saturation, each by a factor between 0.6 and 1.4, as torchvision's
    /// `ColorJitter(0.4, 0.4, 0.4)`; in that order.
    ColorJitter,
    /// Two operations of torchvision's `RandAugment`, one after the other, drawn for each sample at the usual magnitude of 9: shear, shift,
    /// rotate, brightness, colour, contrast, sharpness, fewer bits, solarize, stretch or equalise the colours, or nothing. A mask moves
    /// with its picture. Samples that are not bytes have 256 steps between their smallest and their largest number.
    RandAugment,
}

/// Entries of `fine_tune.outputs` at most.
const MOST_OUTPUTS: usize = 64;

/// How pruned networks are fine-tuned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FineTune {
    /// The loss that is minimised.
    pub objective: Objective,
    /// Weight of the distillation loss beside the one with labels.
    pub distill: UnitInterval,
    /// Weight of the distillation of hidden activations beside that of the outputs; 0 for none.
    #[schema(minimum = 0.0, maximum = 100.0)]
    pub hints: f64,
    /// Share of every class label that is spread over all classes (Szegedy et al., 2016).
    #[schema(minimum = 0.0, exclusive_maximum = 1.0)]
    pub label_smoothing: f64,
    /// The label of places that do not count, such as 255 for the borders in a segmentation; -100 never counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<i64>,
    /// The class of `ctc` that stands for nothing.
    pub blank: u32,
    /// Epochs of every screened network's light fine-tune, after which the best `search.top_k` go on; with `sacp` only.
    #[schema(minimum = 0, maximum = 10_000)]
    pub light_epochs: u32,
    /// Epochs of the full fine-tune.
    #[schema(minimum = 1, maximum = 10_000)]
    pub epochs: u32,
    /// Samples per step.
    #[schema(value_type = u64, minimum = 2, maximum = 65_536)]
    pub batch_size: Positive,
    /// The optimiser; its learning rate follows a cosine after a linear warm-up.
    pub optimizer: Optimizer,
    /// Peak learning rate. Absent: 0.05 with `sgd` and 0.001 with `adamw`, or a third, a tenth or a thirtieth of that
    /// where a trial of a few steps with the network ends at a loss lower by more than a twentieth; a fine-tune of less than 40 steps
    /// and the light one have no trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0.0, maximum = 10.0)]
    pub lr: Option<f64>,
    /// Weight decay.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub weight_decay: f64,
    /// Largest norm of all gradients together; longer ones are shortened to it. Absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0.0)]
    pub clip_norm: Option<f64>,
    /// Decay of an exponential moving average of the weights; the average is what is validated and kept. Absent: the
    /// weights themselves are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0.0, exclusive_maximum = 1.0)]
    pub ema: Option<f64>,
    /// Epochs without a better one after which training ends. Absent: all epochs are trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub patience: Option<u32>,
    /// Samples of one pass, 2 to `batch_size`; the gradients of a batch's passes add up, so that a step is the same within less memory, batch
    /// norm statistics aside. Absent: the whole batch, and half as many as often as memory runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 2)]
    pub micro_batch: Option<Positive>,
    /// The type that a step is computed in.
    pub precision: Precision,
    /// What batch norm normalises by.
    pub batch_norm: BatchNorm,
    /// Random changes of the training samples; empty for none.
    pub augment: Vec<Augmentation>,
    /// Every sample is mixed with another one of its batch, and the loss is the mixture of both samples' (mixup, Zhang et al., 2018): alpha of
    /// the Beta distribution that the share is drawn from; 0.2 is usual. Absent: samples stay apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0.0, maximum = 1.0)]
    pub mixup: Option<f64>,
    /// What the spec knows better of the model's outputs than the graph tells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub outputs: Vec<OutputSpec>,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            objective: Objective::Auto,
            distill: UnitInterval::new(0.5),
            hints: 0.0,
            label_smoothing: 0.0,
            ignore_index: None,
            blank: 0,
            light_epochs: 1,
            epochs: 30,
            batch_size: Positive::new(128),
            optimizer: Optimizer::Auto,
            lr: None,
            weight_decay: 5e-4,
            clip_norm: None,
            ema: None,
            patience: None,
            micro_batch: None,
            precision: Precision::Auto,
            batch_norm: BatchNorm::Auto,
            augment: Vec::new(),
            mixup: None,
            outputs: Vec::new(),
        }
    }
}

impl FineTune {
    /// What says how labels are read.
    pub(super) fn labels(&self) -> LabelSettings {
        let &Self { objective, label_smoothing, ignore_index, blank, .. } = self;
        LabelSettings { objective, label_smoothing, ignore_index, blank }
    }
}

/// How the labels of a data set are read; see the fields of [`FineTune`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LabelSettings {
    /// The loss that is minimised.
    pub objective: Objective,
    /// Share of every class label that is spread over all classes.
    pub label_smoothing: f64,
    /// The label of places that do not count.
    pub ignore_index: Option<i64>,
    /// The class of `ctc` that stands for nothing.
    pub blank: u32,
}

/// The rules between fields and for plain numbers.
pub(super) fn check(
    fine_tune: &FineTune,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let FineTune { light_epochs, epochs, lr, weight_decay, batch_size, outputs, label_smoothing, .. } = fine_tune;
    if !(0.0..1.0).contains(label_smoothing) {
        return invalid(
            "fine_tune.label_smoothing",
            format!("`fine_tune.label_smoothing` {label_smoothing} is out of range: 0 to below 1."),
        );
    }
    if *light_epochs > 10_000 {
        return invalid(
            "fine_tune.light_epochs",
            format!("`fine_tune.light_epochs` {light_epochs} is out of range: 0 to 10000."),
        );
    }
    if !(1..=10_000).contains(epochs) {
        return invalid(
            "fine_tune.epochs",
            format!("`fine_tune.epochs` {epochs} is out of range: 1 to 10000; `\"fine_tune\": null` prunes only."),
        );
    }
    if batch_size.get() < 2 || batch_size.get() > 65_536 {
        return invalid(
            "fine_tune.batch_size",
            format!(
                "`fine_tune.batch_size` {} is out of range: 2 to 65536 (batch norm needs two samples).",
                batch_size.get()
            ),
        );
    }
    if let Some(lr) = lr.filter(|&lr| !(lr > 0.0 && lr <= 10.0)) {
        return invalid("fine_tune.lr", format!("`fine_tune.lr` {lr} is out of range: above 0 and at most 10."));
    }
    if let Some(norm) = fine_tune.clip_norm.filter(|&norm| !(norm > 0.0 && norm.is_finite())) {
        return invalid(
            "fine_tune.clip_norm",
            format!("`fine_tune.clip_norm` {norm} is out of range: it must be above 0."),
        );
    }
    if !(0.0..=100.0).contains(&fine_tune.hints) {
        return invalid("fine_tune.hints", format!("`fine_tune.hints` {} is out of range: 0 to 100.", fine_tune.hints));
    }
    if let Some(decay) = fine_tune.ema.filter(|&decay| !(decay > 0.0 && decay < 1.0)) {
        return invalid("fine_tune.ema", format!("`fine_tune.ema` {decay} is out of range: above 0 and below 1."));
    }
    if let Some(alpha) = fine_tune.mixup.filter(|&alpha| !(alpha > 0.0 && alpha <= 1.0)) {
        return invalid(
            "fine_tune.mixup",
            format!("`fine_tune.mixup` {alpha} is out of range: above 0 and at most 1."),
        );
    }
    if fine_tune.patience == Some(0) {
        return invalid("fine_tune.patience", "`fine_tune.patience` 0 is out of range: 1 or more epochs.".to_owned());
    }
    if let Some(samples) = fine_tune.micro_batch.map(Positive::get)
        && !(2..=batch_size.get()).contains(&samples)
    {
        return invalid(
            "fine_tune.micro_batch",
            format!("`fine_tune.micro_batch` {samples} is out of range: 2 to `batch_size`, {}.", batch_size.get()),
        );
    }
    if outputs.len() > MOST_OUTPUTS {
        return invalid(
            "fine_tune.outputs",
            format!("`fine_tune.outputs` has {} entries; at most {MOST_OUTPUTS} are allowed.", outputs.len()),
        );
    }
    let temperatures = outputs.iter().enumerate().filter_map(|(index, output)| Some((index, output.temperature?)));
    for (index, temperature) in temperatures {
        if !(0.1..=100.0).contains(&temperature) {
            let field = format!("fine_tune.outputs[{index}].temperature");
            return invalid(&field, format!("`{field}` {temperature} is out of range: 0.1 to 100."));
        }
    }
    let weights = outputs.iter().enumerate().filter_map(|(index, output)| Some((index, output.weight?)));
    for (index, weight) in weights {
        if !(0.0..=1000.0).contains(&weight) {
            let field = format!("fine_tune.outputs[{index}].weight");
            return invalid(&field, format!("`{field}` {weight} is out of range: 0 to 1000."));
        }
    }
    if !(0.0..=1.0).contains(weight_decay) {
        return invalid(
            "fine_tune.weight_decay",
            format!("`fine_tune.weight_decay` {weight_decay} is out of range: 0 to 1."),
        );
    }
    Ok(())
}
