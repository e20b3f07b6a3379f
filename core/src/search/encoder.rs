//! The trained graph encoder: a two-layer GCN over the layer DAG.
//!
//! `H1 = ReLU(Â X W1)`, `H2 = Â H1 W2`, mean over the nodes, L2-normalised, with `Â = D^-1/2 (A + Aᵀ + I) D^-1/2` (Kipf and
//! Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017; used for pruning by Liu
//! et al., arXiv 2506.11469). This module has the plain dense form, the one that others are measured against.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::layer::LayerGraph;
use crate::spec::EncoderObjective;
use crate::statistics::RankCorrelation;

/// Weights of the encoder, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// Width of the embedding.
    pub hidden: usize,
    /// `[C_max, hidden]`.
    pub w1: Vec<f32>,
    /// `[hidden, hidden]`.
    pub w2: Vec<f32>,
    /// Only where the encoder was trained to predict what was measured.
    pub head: Option<Head>,
}

/// A linear prediction from the embedding before normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// `[hidden]`.
    pub weights: Vec<f32>,
    /// The constant of the prediction.
    pub bias: f32,
}

/// `Â` of a layer DAG as sparse rows, each `(column, weight)`, columns ascending.
pub fn normalised_adjacency(layers: &LayerGraph) -> Vec<Vec<(usize, f32)>> {
    let mut neighbours: Vec<Vec<usize>> = (0..layers.len()).map(|node| vec![node]).collect();
    for (from, to) in layers.edges() {
        neighbours[from].push(to);
        neighbours[to].push(from);
    }
    for row in &mut neighbours {
        row.sort_unstable();
        row.dedup();
    }
    let degree: Vec<f64> = neighbours.iter().map(|row| row.len() as f64).collect();
    let weight = |a: usize, b: usize| (1.0 / (degree[a] * degree[b]).sqrt()) as f32;
    neighbours
        .iter()
        .enumerate()
        .map(|(node, row)| row.iter().map(|&other| (other, weight(node, other))).collect())
        .collect()
}

/// The binary features of a network whose groups have these widths: a prefix of ones per segment, `[layers, C_max]`.
pub fn features(layers: &LayerGraph, widths: &[usize]) -> Vec<f32> {
    let columns = layers.max_channels();
    let mut features = vec![0.0; layers.len() * columns];
    for (row, layer) in features.chunks_exact_mut(columns.max(1)).zip(layers.layers()) {
        for segment in &layer.segments {
            let kept = widths[segment.group] * segment.multiplicity;
            row[segment.offset..segment.offset + kept].fill(1.0);
        }
        row[layer.fixed.clone()].fill(1.0);
    }
    features
}

impl Encoder {
    /// The embedding of features `[layers, C_max]`, of unit length.
    pub fn embed(&self, adjacency: &[Vec<(usize, f32)>], features: &[f32]) -> Vec<f32> {
        let mean = self.pooled(adjacency, features);
        let norm = mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        mean.iter().map(|value| value / norm).collect()
    }

    /// What the head predicts of features; `None` without a head.
    pub fn predict(&self, adjacency: &[Vec<(usize, f32)>], features: &[f32]) -> Option<f32> {
        let head = self.head.as_ref()?;
        let embedding = self.pooled(adjacency, features);
        Some(embedding.iter().zip(&head.weights).map(|(z, w)| z * w).sum::<f32>() + head.bias)
    }

    /// The mean over nodes of the second layer, every product written out.
    fn pooled(&self, adjacency: &[Vec<(usize, f32)>], features: &[f32]) -> Vec<f32> {
        let (nodes, hidden) = (adjacency.len(), self.hidden);
        let columns = features.len() / nodes.max(1);
        let projected = product(features, &self.w1, nodes, columns, hidden);
        let mut first = propagate(adjacency, &projected, hidden);
        for value in &mut first {
            *value = value.max(0.0);
        }
        let second = propagate(adjacency, &product(&first, &self.w2, nodes, hidden, hidden), hidden);
        let mut mean = vec![0.0f32; hidden];
        for row in second.chunks_exact(hidden) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value / nodes as f32;
            }
        }
        mean
    }
}

/// `[rows, inner] x [inner, columns]`.
fn product(left: &[f32], right: &[f32], rows: usize, inner: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns];
    for row in 0..rows {
        for k in 0..inner {
            let factor = left[row * inner + k];
            for column in 0..columns {
                out[row * columns + column] += factor * right[k * columns + column];
            }
        }
    }
    out
}

fn propagate(adjacency: &[Vec<(usize, f32)>], rows: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows.len()];
    for (node, neighbours) in adjacency.iter().enumerate() {
        for &(other, weight) in neighbours {
            for column in 0..width {
                out[node * width + column] += weight * rows[other * width + column];
            }
        }
    }
    out
}

/// How the graph encoder of a job was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EncoderResult {
    /// As it was trained, which is `contrastive` without a data set.
    pub objective: EncoderObjective,
    /// Mean loss of each epoch, with `regression` of each pass over the sample.
    pub losses: Vec<f64>,
    /// Share of held-out pairs in which the positive is nearer to the anchor than the negative; `null` with `regression`.
    #[serde(default)]
    pub contrastive_accuracy: Option<f64>,
    /// The same after each epoch.
    #[serde(default)]
    pub contrastive_accuracies: Vec<f64>,
    /// Configurations that were measured for `regression`, the held-out ones included.
    #[serde(default)]
    pub samples: usize,
    /// Between prediction and measurement of the held-out configurations; `null` with `contrastive`. Half of them are spread over all
    /// reductions, which alone tell much: this is higher than inside the target's band.
    #[serde(default)]
    pub held_out: Option<RankCorrelation>,
}
