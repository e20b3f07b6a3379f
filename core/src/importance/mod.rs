//! Importance of channels: what a criterion sees in the tensors of a coupled group, and the canonical order that it gives.
//!
//! A channel owns slices of several tensors: filters of the layers that produce it, columns of the layers that read it, and the
//! scale of its batch norms. A [`Criterion`] scores the slices of those tensors that it looks at (each has a file of
//! its own here), and a channel's importance is the sum of its slices' scores, which [`Normalisation`] may bring to one scale
//! first. [`Criterion::Reconstruction`] is measured for a group as a whole. In the end every group is divided by its mean, so that groups compare; that changes no order inside a group.
//! A group with nothing that the criterion looks at, a convolution without a batch norm for `bn_scale`, is scored by L1.

mod bn_scale;
mod fpgm;
mod magnitude;
mod order;
mod slices;
mod taylor;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::graph::Graph;
use crate::group::{Group, Grouping};

use slices::Slices;

pub use order::ImportanceSpec;

/// How a channel's slice of a tensor is scored.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Criterion {
    /// Sum of magnitudes of filters and columns (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017).
    L1,
    /// Root of the sum of squares of filters and columns.
    L2,
    /// Magnitude of the batch norm's scale (Liu et al., "Network Slimming", ICCV 2017).
    BnScale,
    /// Sum of a filter's distances to the layer's other filters (He et al., "Filter Pruning via Geometric Median",
    /// CVPR 2019).
    Fpgm,
    /// Sum of |weight · gradient| of the loss over filters and columns (Molchanov et al., "Importance Estimation for Neural
    /// Network Pruning", CVPR 2019); needs a data set.
    Taylor,
    /// What the layers that read the channel lose of their outputs' variance when it goes and they are fitted anew, after all channels
    /// of the group that matter less (the optimal brain surgeon of Hassibi and Stork, NIPS 1992, on structures as in ZipLM, Kurtic et
    /// al., NeurIPS 2023); needs a data set, without one it is `l1`.
    Reconstruction,
}

impl Criterion {
    /// The name in specs and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it is measured on samples.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Taylor | Self::Reconstruction)
    }
}

/// How the tensors of a group are weighed against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Scores are added as they are, so the larger tensors decide.
    None,
    /// Every tensor of the group counts alike, batch norm scales too where the criterion measures weights: its scores are
    /// divided by their mean over the channels before they are added (group importance as in DepGraph, Fang et al., CVPR 2023).
    Group,
}

/// The float tensors of a model by parameter name, contiguous in row-major order.
pub type Weights = HashMap<String, Vec<f32>>;

/// What importance is measured on. Every parameter of the graph is in `weights`, with as many elements as its shape says.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The uncut network.
    pub graph: &'a Graph,
    /// The coupled channel groups of `graph`.
    pub grouping: &'a Grouping,
    /// Elements of every parameter, by name.
    pub weights: &'a Weights,
    /// What was measured on samples, for the criteria that are.
    pub on_samples: OnSamples<'a>,
}

/// What a criterion has measured on samples.
#[derive(Debug, Clone, Copy)]
pub enum OnSamples<'a> {
    /// Nothing.
    Nothing,
    /// Mean |weight · gradient| of every element, in the form of the weights.
    Saliency(&'a Weights),
    /// For each channel what is lost once it has gone, by the names of the groups; those that no layer reads are left out.
    Losses(&'a HashMap<String, Vec<f64>>),
}

/// The importance of every channel of every group, and the order that it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Group, channel; each group's mean is 1.
    normalised: Vec<Vec<f64>>,
    /// Group, rank: channels from the most to the least important; equals by index.
    order: Vec<Vec<u32>>,
}

impl Importance {
    /// Measures all groups.
    ///
    /// # Panics
    /// When a tensor is missing or holds another number of elements than its shape says, or when a criterion that is measured on
    /// samples is asked for without what it has measured; [`Criterion::Reconstruction`] is [`Criterion::L1`] then.
    pub fn measure(evidence: &Evidence<'_>, spec: ImportanceSpec) -> Self {
        let groups = evidence.grouping.groups();
        let normalised: Vec<Vec<f64>> = groups.iter().map(|group| of_group(evidence, group, spec)).collect();
        let order = normalised
            .iter()
            .map(|scores| {
                let mut order: Vec<u32> = (0..scores.len() as u32).collect();
                order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
                order
            })
            .collect();
        Self { normalised, order }
    }

    /// Importance of a group's channels relative to the group's mean.
    pub fn scores(&self, group: usize) -> &[f64] {
        &self.normalised[group]
    }

    /// Channels of a group from the most to the least important.
    pub fn order(&self, group: usize) -> &[u32] {
        &self.order[group]
    }

    /// The `width` most important channels of a group, ascending by index.
    pub fn most_important(&self, group: usize, width: usize) -> Vec<u32> {
        let mut channels = self.order[group][..width].to_vec();
        channels.sort_unstable();
        channels
    }
}

/// Names of the groups in which a criterion finds nothing to look at, and which are ordered by L1 instead.
pub fn groups_without<'a>(criterion: Criterion, graph: &Graph, grouping: &'a Grouping) -> Vec<&'a str> {
    let has_nothing = |group: &&Group| {
        slices::of_group(graph, grouping, group).iter().all(|slices| !looks_at(criterion, Normalisation::None, slices))
    };
    grouping.groups().iter().filter(has_nothing).map(|group| group.name.as_str()).collect()
}

fn looks_at(criterion: Criterion, normalisation: Normalisation, slices: &Slices<'_>) -> bool {
    let counts_scales = normalisation == Normalisation::Group;
    match criterion {
        Criterion::L1 | Criterion::L2 => magnitude::looks_at(slices, counts_scales),
        Criterion::Taylor => taylor::looks_at(slices, counts_scales),
        Criterion::Reconstruction => slices.is_read(),
        Criterion::BnScale => bn_scale::looks_at(slices),
        Criterion::Fpgm => fpgm::looks_at(slices),
    }
}

/// Score of every channel's slice.
fn scored(criterion: Criterion, evidence: &Evidence<'_>, slices: &Slices<'_>) -> Vec<f64> {
    match criterion {
        Criterion::L1 => magnitude::l1(slices, slices.tensor(evidence.weights)),
        Criterion::L2 => magnitude::l2(slices, slices.tensor(evidence.weights)),
        Criterion::BnScale => bn_scale::score(slices, slices.tensor(evidence.weights)),
        Criterion::Fpgm => fpgm::score(slices, slices.tensor(evidence.weights)),
        Criterion::Reconstruction => unreachable!("what layers lose is measured for a group as a whole"),
        Criterion::Taylor => {
            let OnSamples::Saliency(saliency) = evidence.on_samples else {
                panic!("the importance stage ran before for `taylor`")
            };
            taylor::score(slices, slices.tensor(saliency))
        }
    }
}

fn of_group(evidence: &Evidence<'_>, group: &Group, spec: ImportanceSpec) -> Vec<f64> {
    let ImportanceSpec { mut criterion, normalisation } = spec;
    if criterion == Criterion::Reconstruction
        && let OnSamples::Losses(losses) = evidence.on_samples
        && let Some(of_group) = losses.get(&group.name)
    {
        let mut scores = of_group.clone();
        divide_by_mean(&mut scores);
        return scores;
    }
    let all = slices::of_group(evidence.graph, evidence.grouping, group);
    if criterion == Criterion::Reconstruction
        || !all.iter().any(|slices| looks_at(criterion, Normalisation::None, slices))
    {
        criterion = Criterion::L1;
    }
    let mut sum = vec![0.0; group.channels()];
    for slices in all.iter().filter(|slices| looks_at(criterion, normalisation, slices)) {
        let mut scores = scored(criterion, evidence, slices);
        if normalisation == Normalisation::Group {
            divide_by_mean(&mut scores);
        }
        sum.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
    }
    divide_by_mean(&mut sum);
    sum
}

/// Leaves scores that are all zero as they are.
fn divide_by_mean(scores: &mut [f64]) {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    if mean > 0.0 {
        for score in scores {
            *score /= mean;
        }
    }
}
