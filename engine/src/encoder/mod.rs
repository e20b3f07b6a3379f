//! Contrastive training of SACP's graph encoder (Liu et al., arXiv 2506.11469).
//!
//! Each example is a random rate vector: the positive prunes every group by importance at those rates, the negatives prune the
//! same numbers of random channels, the same ones in every tensor of a group. The anchor is the unpruned network. The loss
//! is InfoNCE on cosines, −log e^{s(z₀,z⁺)/t} / (e^{s(z₀,z⁺)/t} + Σ e^{s(z₀,z⁻)/t}). No labels are involved.
//!
//! Many layers have the same features (all layers on one residual stream, a convolution and its batch norm), so `X W1` is
//! computed once per kind of row and `Â` is folded onto the kinds; this is exact and several times cheaper.

pub mod regression;
pub mod scoring;

use std::time::Instant;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::search::encoder::{Encoder, normalised_adjacency};
use secateur_core::search::layer::{Layer, LayerGraph};
use secateur_core::search::space::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::process::checkpoint::{Checkpoints, Saved, numbers};

const LEARNING_RATE: f64 = 1e-3;
const BATCH: usize = 64;

/// Rate vectors that are held out to measure the contrastive accuracy.
const HELD_OUT: usize = 256;

/// How the encoder is trained.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Rate vectors, seen once per epoch.
    pub configs: usize,
    pub hidden: usize,
    pub epochs: u32,
    pub temperature: f64,
    pub negatives: usize,
    pub seed: u64,
}

/// A trained encoder and the way there.
#[derive(Debug)]
pub struct Trained {
    pub encoder: Encoder,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// After each epoch, the share of held-out pairs in which the positive is nearer to the anchor than the negative.
    pub contrastive_accuracies: Vec<f64>,
    pub seconds: f64,
}

impl Trained {
    /// Of the trained encoder.
    pub fn contrastive_accuracy(&self) -> f64 {
        self.contrastive_accuracies.last().copied().unwrap_or(0.0)
    }
}

/// How an epoch ended.
#[derive(Debug, Clone, Copy)]
pub struct EpochEnd {
    /// From 1.
    pub epoch: u32,
    /// Mean over the epoch.
    pub loss: f64,
    /// On the held-out pairs.
    pub contrastive_accuracy: f64,
}

/// Trains on the space's levels; `epoch_done` is called for each epoch, also for those that a checkpoint has. After every epoch but the
/// last the state is offered as a checkpoint, from which another process comes to the same encoder.
pub fn train(
    layers: &LayerGraph,
    space: &Space<'_>,
    settings: &Settings,
    device: Device,
    checkpoints: Option<&Checkpoints>,
    mut epoch_done: impl FnMut(EpochEnd),
) -> Result<Trained, Error> {
    let started = Instant::now();
    let network = Folded::new(layers, device)?;
    let draws = Draws::new(space, &network);
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    tch::manual_seed(settings.seed as i64);
    let (columns, hidden) = (layers.max_channels() as i64, settings.hidden as i64);
    let (w1, w2) = (initial(columns, hidden, device)?, initial(hidden, hidden, device)?);
    let mut adam = Adam::new(vec![w1.shallow_clone(), w2.shallow_clone()])?;
    let unpruned = draws.unpruned();

    let held_out = draws.pairs(HELD_OUT, &mut random);
    let configs: Vec<Vec<usize>> = (0..settings.configs).map(|_| draws.random_widths(&mut random)).collect();
    let (mut losses, mut contrastive_accuracies) = (Vec::new(), Vec::new());
    if let Some(resumed) =
        checkpoints.and_then(|checkpoints| checkpoints.resume(|state, saved| adam.restore(state, saved)))
    {
        random.set_word_pos(resumed.random);
        (losses, contrastive_accuracies) = (resumed.losses, resumed.contrastive_accuracies);
        for (epoch, (&loss, &contrastive_accuracy)) in (1..).zip(losses.iter().zip(&contrastive_accuracies)) {
            epoch_done(EpochEnd { epoch, loss, contrastive_accuracy });
        }
    }
    for epoch in losses.len() as u32 + 1..=settings.epochs {
        let mut order: Vec<usize> = (0..configs.len()).collect();
        order.shuffle(&mut random);
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let mut rows = unpruned.clone();
            for &index in batch {
                draws.positive(&configs[index], &mut rows);
                for _ in 0..settings.negatives {
                    draws.negative(&configs[index], &mut random, &mut rows);
                }
            }
            let similarity = network.similarities(&rows, &w1, &w2)?;
            let similarity = similarity.f_view([batch.len() as i64, 1 + settings.negatives as i64])?;
            let scaled = similarity.f_div_scalar(settings.temperature)?;
            let loss = scaled.f_log_softmax(1, Kind::Float)?.f_select(1, 0)?.f_neg()?.f_mean(Kind::Float)?;
            adam.step(&loss)?;
            sum += loss.f_double_value(&[])? * batch.len() as f64;
        }
        let loss = sum / configs.len().max(1) as f64;
        let contrastive_accuracy = share_of_nearer_positives(&network, &held_out, &w1, &w2)?;
        losses.push(loss);
        contrastive_accuracies.push(contrastive_accuracy);
        epoch_done(EpochEnd { epoch, loss, contrastive_accuracy });
        if let Some(checkpoints) = checkpoints.filter(|_| epoch < settings.epochs) {
            let state = State { steps: adam.steps, random: random.get_word_pos().to_string() };
            checkpoints.save(&format!("epoch {epoch} of {}", settings.epochs), &state, || {
                adam.tensors(&losses, &contrastive_accuracies)
            });
        }
    }

    let encoder = Encoder { hidden: settings.hidden, w1: host(&w1)?, w2: host(&w2)?, head: None };
    Ok(Trained { encoder, losses, contrastive_accuracies, seconds: started.elapsed().as_secs_f64() })
}

/// `pairs` are the anchor's rows and then those of a positive and a negative in turns.
fn share_of_nearer_positives(network: &Folded, pairs: &[f32], w1: &Tensor, w2: &Tensor) -> Result<f64, Error> {
    let _no_grad = tch::no_grad_guard();
    let similarities: Vec<f32> = Vec::try_from(&network.similarities(pairs, w1, w2)?)?;
    let nearer = similarities.chunks_exact(2).filter(|pair| pair[0] > pair[1]).count();
    Ok(nearer as f64 / (similarities.len() / 2).max(1) as f64)
}

/// Weights `[rows, columns]` after Glorot and Bengio (2010).
fn initial(rows: i64, columns: i64, device: Device) -> Result<Tensor, Error> {
    let bound = (6.0 / (rows + columns) as f64).sqrt();
    Ok(Tensor::f_rand([rows, columns], (Kind::Float, Device::Cpu))?
        .f_mul_scalar(2.0 * bound)?
        .f_sub_scalar(bound)?
        .f_to(device)?
        .f_set_requires_grad(true)?)
}

fn host(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(Vec::try_from(&tensor.f_detach()?.f_to(Device::Cpu)?.f_contiguous()?.f_view(-1)?)?)
}

/// The layer DAG with equal rows of X folded together.
struct Folded {
    /// `Â S`, `[layers, kinds]`, where S says which kind of row each layer has.
    propagate: Tensor,
    /// `Âᵀ 1/n`, `[1, layers]`.
    pooling: Tensor,
    /// One layer of each kind.
    kinds: Vec<Layer>,
    columns: usize,
    device: Device,
}

impl Folded {
    fn new(layers: &LayerGraph, device: Device) -> Result<Self, Error> {
        let mut kinds: Vec<Layer> = Vec::new();
        let kind_of: Vec<usize> = layers
            .layers()
            .map(|layer| {
                let same = |kind: &Layer| kind.segments == layer.segments && kind.fixed == layer.fixed;
                kinds.iter().position(same).unwrap_or_else(|| {
                    kinds.push(layer.clone());
                    kinds.len() - 1
                })
            })
            .collect();
        let adjacency = normalised_adjacency(layers);
        let nodes = adjacency.len();
        let mut propagate = vec![0.0f32; nodes * kinds.len()];
        let mut pooling = vec![0.0f32; nodes];
        for (node, row) in adjacency.iter().enumerate() {
            for &(other, weight) in row {
                propagate[node * kinds.len() + kind_of[other]] += weight;
                pooling[other] += weight / nodes as f32;
            }
        }
        Ok(Self {
            propagate: Tensor::f_from_slice(&propagate)?.f_view([nodes as i64, kinds.len() as i64])?.f_to(device)?,
            pooling: Tensor::f_from_slice(&pooling)?.f_view([1, nodes as i64])?.f_to(device)?,
            kinds,
            columns: layers.max_channels(),
            device,
        })
    }

    /// Cosines of every network's embedding to the first one's; the first is the anchor and is left out.
    /// `rows` is `[networks, kinds, columns]`.
    fn similarities(&self, rows: &[f32], w1: &Tensor, w2: &Tensor) -> Result<Tensor, Error> {
        let embedding = self.embeddings(rows, w1, w2)?;
        let norm = embedding.f_norm_scalaropt_dim(2, [1], true)?.f_clamp_min(1e-12)?;
        let unit = embedding.f_div(&norm)?;
        let anchor = unit.f_select(0, 0)?;
        Ok(unit.f_narrow(0, 1, unit.size()[0] - 1)?.f_matmul(&anchor)?)
    }

    /// Every network's embedding before normalisation, `[networks, hidden]`. `rows` is `[networks, kinds, columns]`.
    fn embeddings(&self, rows: &[f32], w1: &Tensor, w2: &Tensor) -> Result<Tensor, Error> {
        let (kinds, hidden_width) = (self.kinds.len() as i64, w1.size()[1]);
        let features = Tensor::f_from_slice(rows)?.f_view([-1, self.columns as i64])?.f_to(self.device)?;
        // With the networks side by side, each of the three products is one large matrix product.
        let projected = features.f_mm(w1)?.f_view([-1, kinds, hidden_width])?;
        let projected = projected.f_transpose(0, 1)?.f_reshape([kinds, -1])?;
        let hidden = self.propagate.f_mm(&projected)?.f_relu()?;
        // Mean pooling and the linear second layer commute.
        let pooled = self.pooling.f_mm(&hidden)?.f_view([-1, hidden_width])?;
        Ok(pooled.f_matmul(w2)?)
    }
}

/// Draws rate vectors and writes features.
struct Draws<'a> {
    space: &'a Space<'a>,
    kinds: &'a [Layer],
    columns: usize,
}

impl<'a> Draws<'a> {
    fn new(space: &'a Space<'a>, network: &'a Folded) -> Self {
        Self { space, kinds: &network.kinds, columns: network.columns }
    }

    fn random_widths(&self, random: &mut ChaCha8Rng) -> Vec<usize> {
        (0..self.space.groups())
            .map(|group| {
                let widths = self.space.widths(group);
                widths[random.random_range(0..widths.len())]
            })
            .collect()
    }

    fn unpruned(&self) -> Vec<f32> {
        let full: Vec<usize> = self.space.kept(&self.space.widest());
        let mut rows = Vec::new();
        self.positive(&full, &mut rows);
        rows
    }

    /// The anchor, then `count` pairs of a positive and a negative.
    fn pairs(&self, count: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
        let mut rows = self.unpruned();
        for _ in 0..count {
            let widths = self.random_widths(random);
            self.positive(&widths, &mut rows);
            self.negative(&widths, random, &mut rows);
        }
        rows
    }

    /// A prefix of every group.
    fn positive(&self, widths: &[usize], rows: &mut Vec<f32>) {
        self.write(rows, |group, rank| rank < widths[group]);
    }

    /// As many channels of every group, at random.
    fn negative(&self, widths: &[usize], random: &mut ChaCha8Rng, rows: &mut Vec<f32>) {
        let kept: Vec<Vec<bool>> = widths
            .iter()
            .enumerate()
            .map(|(group, &width)| {
                let channels = *self.space.widths(group).last().expect("every group has a level");
                let mut kept: Vec<bool> = (0..channels).map(|rank| rank < width).collect();
                kept.shuffle(random);
                kept
            })
            .collect();
        self.write(rows, |group, rank| kept[group][rank]);
    }

    fn write(&self, rows: &mut Vec<f32>, is_kept: impl Fn(usize, usize) -> bool) {
        for kind in self.kinds {
            let start = rows.len();
            rows.resize(start + self.columns, 0.0);
            let row = &mut rows[start..];
            for segment in &kind.segments {
                let channels = *self.space.widths(segment.group).last().expect("as above");
                for rank in (0..channels).filter(|&rank| is_kept(segment.group, rank)) {
                    let at = segment.offset + rank * segment.multiplicity;
                    row[at..at + segment.multiplicity].fill(1.0);
                }
            }
            row[kind.fixed.clone()].fill(1.0);
        }
    }
}

const LOSSES: &str = "losses";
const CONTRASTIVE_ACCURACIES: &str = "contrastive_accuracies";
/// Of W1 and of W2: the weight, and the first and second moment of its gradient.
const NAMES: [[&str; 3]; 2] = [["w1", "w1.first", "w1.second"], ["w2", "w2.first", "w2.second"]];

/// The whole numbers of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Of Adam.
    steps: i32,
    /// Position of the generator that draws orders and negatives, an `u128`.
    random: String,
}

/// What a checkpoint says beside Adam's state.
struct Resumed {
    random: u128,
    losses: Vec<f64>,
    contrastive_accuracies: Vec<f64>,
}

/// Adam (Kingma and Ba, 2015) with its usual constants.
struct Adam {
    tensors: Vec<Tensor>,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: i32,
}

impl Adam {
    fn new(tensors: Vec<Tensor>) -> Result<Self, Error> {
        let zeros =
            || -> Result<Vec<Tensor>, Error> { tensors.iter().map(|tensor| Ok(tensor.f_zeros_like()?)).collect() };
        let (first, second) = (zeros()?, zeros()?);
        Ok(Self { tensors, first, second, steps: 0 })
    }

    /// The tensors of a checkpoint.
    fn tensors(&self, losses: &[f64], contrastive_accuracies: &[f64]) -> Result<Vec<(String, Tensor)>, Error> {
        let mut tensors = vec![numbers(LOSSES, losses)?, numbers(CONTRASTIVE_ACCURACIES, contrastive_accuracies)?];
        for (index, [weight, first, second]) in NAMES.iter().enumerate() {
            tensors.push(((*weight).to_owned(), self.tensors[index].f_detach()?));
            tensors.push(((*first).to_owned(), self.first[index].shallow_clone()));
            tensors.push(((*second).to_owned(), self.second[index].shallow_clone()));
        }
        Ok(tensors)
    }

    /// Takes a checkpoint up; nothing has changed when it does not fit.
    fn restore(&mut self, state: State, saved: &mut Saved) -> Result<Resumed, Error> {
        let random = state.random.parse::<u128>();
        let random = random.map_err(|error| Error::internal(format!("its random position does not read: {error}")))?;
        let (losses, contrastive_accuracies) = (saved.numbers(LOSSES)?, saved.numbers(CONTRASTIVE_ACCURACIES)?);
        if losses.len() != contrastive_accuracies.len() {
            return Err(Error::internal("its history does not fit together"));
        }
        let mut found: Vec<[Tensor; 3]> = Vec::new();
        for (names, tensor) in NAMES.iter().zip(&self.tensors) {
            let [weight, first, second] = names.map(|name| saved.like(name, tensor));
            found.push([weight?, first?, second?]);
        }
        let _no_grad = tch::no_grad_guard();
        for (index, [weight, first, second]) in found.into_iter().enumerate() {
            self.tensors[index].f_copy_(&weight)?;
            (self.first[index], self.second[index]) = (first, second);
        }
        self.steps = state.steps;
        Ok(Resumed { random, losses, contrastive_accuracies })
    }

    fn step(&mut self, loss: &Tensor) -> Result<(), Error> {
        let (decay, decay_squares) = (0.9f64, 0.999f64);
        let gradients = Tensor::f_run_backward(&[loss], &self.tensors, false, false)?;
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        let correction = (1.0 - decay_squares.powi(self.steps)).sqrt() / (1.0 - decay.powi(self.steps));
        for (index, gradient) in gradients.iter().enumerate() {
            let (first, second) = (&mut self.first[index], &mut self.second[index]);
            let _ = first.f_mul_scalar_(decay)?.f_add_(&gradient.f_mul_scalar(1.0 - decay)?)?;
            let square = gradient.f_square()?.f_mul_scalar(1.0 - decay_squares)?;
            let _ = second.f_mul_scalar_(decay_squares)?.f_add_(&square)?;
            let step = first.f_div(&second.f_sqrt()?.f_add_scalar(1e-8)?)?.f_mul_scalar(LEARNING_RATE * correction)?;
            let _ = self.tensors[index].f_sub_(&step)?;
        }
        Ok(())
    }
}
