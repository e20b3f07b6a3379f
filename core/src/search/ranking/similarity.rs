//! Exact scoring in a few hundred nanoseconds: the same cosine as the dense GCN's, without its products.
//!
//! Three identities (the tests compare with [`crate::search::encoder::Encoder::embed`]):
//! 1. In canonical order a group at a level is a prefix of ones, so its part of `X W1` is a prefix sum of W1's rows. `Â` is
//!    linear too, so the part of `Â X W1` that a group at a level contributes to each node within one hop is tabulated
//!    once. A candidate is a sum of table rows; moving one group changes only the rows of the nodes within one hop of it.
//! 2. Mean pooling and the linear last layer commute: with `p = Âᵀ 1/n` and `s = pᵀ ReLU(Â X W1)`, `z = s W2`.
//! 3. Then `cos(z, z0) = s·(W2 z0) / sqrt(sᵀ (W2 W2ᵀ) s)` for the unit vector z0: one small quadratic form per candidate. A linear
//!    head on z, where the encoder was fitted to measurements, is `s·(W2 w) + b`.

use super::Ranking;
use crate::search::encoder::{Encoder, features, normalised_adjacency};
use crate::search::layer::LayerGraph;
use crate::search::space::Space;

/// Floats per lane block; loops over whole blocks compile to vector instructions.
const LANES: usize = 8;

/// The tables of one encoder on one network.
#[derive(Debug, Clone)]
pub struct Scorer {
    /// Hidden width, a multiple of [`LANES`]; padded with zeros.
    hidden: usize,
    /// `[nodes, hidden]`: what fixed channels contribute to `Â X W1`.
    constant: Vec<f32>,
    groups: Vec<GroupTable>,
    /// `Âᵀ 1/n`.
    pooling: Vec<f32>,
    /// `W2 z0`; with a head `W2 w`.
    direction: Vec<f32>,
    measure: Measure,
    /// Length of the unpruned network's `s`: what sums by difference have passed through.
    scale: f32,
}

/// How the pooled sum becomes a score.
#[derive(Debug, Clone)]
pub enum Measure {
    /// Cosine to the unpruned network's embedding.
    Cosine {
        /// `W2 W2ᵀ`, `[hidden, hidden]`.
        gram: Vec<f32>,
        /// Frobenius norm of W2: how much it can lengthen a vector at most.
        gain: f32,
    },
    /// The head's prediction, `s·(W2 w) + bias`.
    Prediction {
        /// The constant of the prediction.
        bias: f32,
        /// Length of `W2 w`.
        gain: f32,
    },
}

/// What a group at each level adds to the nodes within one hop of it.
#[derive(Debug, Clone)]
pub struct GroupTable {
    /// Nodes within one hop of the group's layers.
    nodes: Vec<u32>,
    /// `[level, node, hidden]`.
    rows: Vec<f32>,
}

/// A candidate's partial sums, kept up to date by [`Ranking::shift`].
#[derive(Debug, Clone)]
pub struct State {
    /// `Â X W1`, `[nodes, hidden]`.
    before_relu: Vec<f32>,
    /// `s`.
    pooled: Vec<f32>,
    levels: Vec<u8>,
}

impl Scorer {
    /// Builds the tables: `Σ_group levels · nodes within one hop · hidden` floats.
    ///
    /// # Panics
    /// The encoder was made for other layers or another space.
    pub fn new(layers: &LayerGraph, space: &Space<'_>, encoder: &Encoder) -> Self {
        let adjacency = normalised_adjacency(layers);
        let nodes = adjacency.len();
        let hidden = encoder.hidden.next_multiple_of(LANES);
        let prefix = prefix_sums(&encoder.w1, encoder.hidden, hidden);
        // Rows from `from` up to `to` of W1, summed.
        let range = |from: usize, to: usize, out: &mut [f32], weight: f32| {
            for (column, value) in out.iter_mut().enumerate() {
                *value += (f64::from(weight) * (prefix[to * hidden + column] - prefix[from * hidden + column])) as f32;
            }
        };

        let mut constant = vec![0.0; nodes * hidden];
        let layer_list: Vec<_> = layers.layers().collect();
        for (node, row) in adjacency.iter().enumerate() {
            for &(other, weight) in row {
                let fixed = &layer_list[other].fixed;
                range(fixed.start, fixed.end, &mut constant[node * hidden..(node + 1) * hidden], weight);
            }
        }

        let groups = (0..space.groups())
            .map(|group| {
                let holds = |node: usize| layer_list[node].segments.iter().any(|segment| segment.group == group);
                let near: Vec<u32> = (0..nodes)
                    .filter(|&node| adjacency[node].iter().any(|&(other, _)| holds(other)))
                    .map(|node| node as u32)
                    .collect();
                let mut rows = vec![0.0; space.widths(group).len() * near.len() * hidden];
                let mut row_of = rows.chunks_exact_mut(hidden);
                for &width in space.widths(group) {
                    for &node in &near {
                        let row = row_of.next().expect("there is a row for every level and node");
                        for &(other, weight) in &adjacency[node as usize] {
                            for segment in layer_list[other].segments.iter().filter(|segment| segment.group == group) {
                                range(segment.offset, segment.offset + width * segment.multiplicity, row, weight);
                            }
                        }
                    }
                }
                GroupTable { nodes: near, rows }
            })
            .collect();

        let mut pooling = vec![0.0; nodes];
        for row in &adjacency {
            for &(other, weight) in row {
                pooling[other] += weight / nodes as f32;
            }
        }

        let mut direction = vec![0.0; hidden];
        let w2_row = |row: usize| &encoder.w2[row * encoder.hidden..(row + 1) * encoder.hidden];
        let measure = match &encoder.head {
            Some(head) => {
                for (row, value) in direction[..encoder.hidden].iter_mut().enumerate() {
                    *value = dot(w2_row(row), &head.weights);
                }
                Measure::Prediction { bias: head.bias, gain: dot(&direction, &direction).sqrt() }
            }
            None => {
                let anchor = encoder.embed(&adjacency, &features(layers, space.costs().full_widths()));
                let mut gram = vec![0.0; hidden * hidden];
                for i in 0..encoder.hidden {
                    direction[i] = dot(w2_row(i), &anchor);
                    for j in 0..encoder.hidden {
                        gram[i * hidden + j] = dot(w2_row(i), w2_row(j));
                    }
                }
                Measure::Cosine { gram, gain: dot(&encoder.w2, &encoder.w2).sqrt() }
            }
        };
        let mut scorer = Self { hidden, constant, groups, pooling, direction, measure, scale: 0.0 };
        let unpruned = scorer.state(&space.widest()).pooled;
        scorer.scale = dot(&unpruned, &unpruned).sqrt();
        scorer
    }
}

/// What the tables hold, for other forms of the same scoring.
impl Scorer {
    /// Number of layers in the pooled graph.
    pub fn nodes(&self) -> usize {
        self.pooling.len()
    }

    /// Columns of every table, at least the encoder's; the rest are zero.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// `[nodes, hidden]`.
    pub fn constant(&self) -> &[f32] {
        &self.constant
    }

    /// The tables of every group.
    pub fn group_tables(&self) -> &[GroupTable] {
        &self.groups
    }

    /// `[nodes]`.
    pub fn pooling(&self) -> &[f32] {
        &self.pooling
    }

    /// `[hidden]`.
    pub fn direction(&self) -> &[f32] {
        &self.direction
    }

    /// The formula that turns the pooled sums into a score.
    pub fn measure(&self) -> &Measure {
        &self.measure
    }

    /// The factor of the pooled sums.
    pub fn scale(&self) -> f32 {
        self.scale
    }
}

/// Scores are cosines between the candidate's embedding and the unpruned network's, or the head's predictions.
impl Ranking for Scorer {
    type State = State;

    fn state(&self, levels: &[u8]) -> State {
        let mut state = State {
            before_relu: vec![0.0; self.constant.len()],
            pooled: vec![0.0; self.hidden],
            levels: vec![0; levels.len()],
        };
        self.reset(&mut state, levels);
        state
    }

    fn reset(&self, state: &mut State, levels: &[u8]) {
        dispatch(Work::Reset { scorer: self, state, levels });
    }

    /// Touches only the nodes within one hop of the group.
    fn shift(&self, state: &mut State, group: usize, level: u8) {
        dispatch(Work::Shift { scorer: self, state, group, level });
    }

    fn score(&self, state: &State) -> f32 {
        let mut score = 0.0;
        dispatch(Work::Score { scorer: self, state, out: &mut score });
        score
    }

    /// Rounding errors of the sums, at most some hundred units in the last place, grow by the ratio between the length of
    /// what is summed and of the embedding, which is small where W2 cancels.
    fn slack(&self, state: &State) -> f32 {
        let pooled = dot(&state.pooled, &state.pooled).sqrt().max(self.scale);
        match &self.measure {
            Measure::Cosine { gram, gain } => {
                let embedding = quadratic(gram, &state.pooled).max(f32::MIN_POSITIVE).sqrt();
                100.0 * f32::EPSILON * (1.0 + pooled * gain / embedding)
            }
            Measure::Prediction { bias, gain } => 100.0 * f32::EPSILON * (bias.abs() + pooled * gain),
        }
    }

    fn levels<'a>(&self, state: &'a State) -> &'a [u8] {
        &state.levels
    }
}

enum Work<'a> {
    Reset { scorer: &'a Scorer, state: &'a mut State, levels: &'a [u8] },
    Shift { scorer: &'a Scorer, state: &'a mut State, group: usize, level: u8 },
    Score { scorer: &'a Scorer, state: &'a State, out: &'a mut f32 },
}

/// Runs the inner loops with the widest vector instructions that this processor has.
fn dispatch(work: Work<'_>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features, checked in the line above.
        return unsafe { with_avx2(work) };
    }
    perform(work);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(work: Work<'_>) {
    perform(work);
}

#[inline(always)]
fn perform(work: Work<'_>) {
    match work {
        Work::Reset { scorer, state, levels } => reset(scorer, state, levels),
        Work::Shift { scorer, state, group, level } => shift(scorer, state, group, level),
        Work::Score { scorer, state, out } => *out = score(scorer, state),
    }
}

#[inline(always)]
fn reset(scorer: &Scorer, state: &mut State, levels: &[u8]) {
    let hidden = scorer.hidden;
    state.before_relu.copy_from_slice(&scorer.constant);
    state.levels.copy_from_slice(levels);
    for (table, &level) in scorer.groups.iter().zip(levels) {
        let rows = table.at(level, hidden);
        for (&node, row) in table.nodes.iter().zip(rows.chunks_exact(hidden)) {
            let sums = &mut state.before_relu[node as usize * hidden..][..hidden];
            for (sum, value) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(row.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    sum[lane] += value[lane];
                }
            }
        }
    }
    state.pooled.fill(0.0);
    for (row, &weight) in state.before_relu.chunks_exact(hidden).zip(&scorer.pooling) {
        for (sum, value) in state.pooled.as_chunks_mut::<LANES>().0.iter_mut().zip(row.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                sum[lane] += weight * value[lane].max(0.0);
            }
        }
    }
}

#[inline(always)]
fn shift(scorer: &Scorer, state: &mut State, group: usize, level: u8) {
    let hidden = scorer.hidden;
    let table = &scorer.groups[group];
    let old = table.at(state.levels[group], hidden);
    let new = table.at(level, hidden);
    state.levels[group] = level;
    for ((&node, old), new) in table.nodes.iter().zip(old.chunks_exact(hidden)).zip(new.chunks_exact(hidden)) {
        let weight = scorer.pooling[node as usize];
        let sums = &mut state.before_relu[node as usize * hidden..][..hidden];
        let lanes = sums.as_chunks_mut::<LANES>().0.iter_mut();
        let rows = old.as_chunks::<LANES>().0.iter().zip(new.as_chunks::<LANES>().0);
        for ((sum, (old, new)), pooled) in lanes.zip(rows).zip(state.pooled.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let before = sum[lane];
                let after = before + (new[lane] - old[lane]);
                pooled[lane] += weight * (after.max(0.0) - before.max(0.0));
                sum[lane] = after;
            }
        }
    }
}

#[inline(always)]
fn score(scorer: &Scorer, state: &State) -> f32 {
    let s = &state.pooled;
    let along = dot(s, &scorer.direction);
    match &scorer.measure {
        Measure::Cosine { gram, .. } => along / quadratic(gram, s).max(f32::MIN_POSITIVE).sqrt(),
        Measure::Prediction { bias, .. } => along + bias,
    }
}

/// `sᵀ G s`.
#[inline(always)]
fn quadratic(gram: &[f32], s: &[f32]) -> f32 {
    gram.chunks_exact(s.len()).zip(s).map(|(row, &factor)| factor * dot(row, s)).sum()
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

impl GroupTable {
    /// Nodes within one hop.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// `[level, node, hidden]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    #[inline(always)]
    fn at(&self, level: u8, hidden: usize) -> &[f32] {
        let size = self.nodes.len() * hidden;
        &self.rows[level as usize * size..][..size]
    }
}

/// `[rows + 1, padded]`: row k is the sum of W1's first k rows, in double precision.
fn prefix_sums(w1: &[f32], hidden: usize, padded: usize) -> Vec<f64> {
    let rows = w1.len() / hidden;
    let mut sums = vec![0.0; (rows + 1) * padded];
    for row in 0..rows {
        for column in 0..hidden {
            sums[(row + 1) * padded + column] = sums[row * padded + column] + f64::from(w1[row * hidden + column]);
        }
    }
    sums
}
