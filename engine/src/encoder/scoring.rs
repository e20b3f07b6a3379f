//! The fast scoring of a search in tensors, for a GPU: one batch of candidates a time.
//!
//! The same tables as [`Scorer`] on the device: a candidate's `Â X W1` is a sum of table rows, gathered and added by node with an
//! embedding bag; then ReLU, pooling, and one product with the Gram matrix per candidate. What comes back is the score plus
//! what rounding may have moved it by, and the search scores on the processor what may enter its ranking
//! (`secateur_core::search::device`), so that GPU and processor give the same ranking.

use secateur_core::search::device::{Accelerator, Bounds};
use secateur_core::search::ranking::similarity::{Measure, Scorer};
use tch::{Device, Kind, Tensor};

use crate::error::Error;

/// A device of libtorch.
#[derive(Debug, Clone, Copy)]
pub struct OnDevice(pub Device);

impl Accelerator for OnDevice {
    type Error = Error;
    type Bounds = Tables;

    fn name(&self) -> String {
        crate::measure::latency::device_name(self.0)
    }

    fn load(&self, scorer: &Scorer) -> Result<Tables, Error> {
        Tables::new(scorer, self.0)
    }
}

/// A scorer's tables on a device. An entry is one group's part in one node within a hop of it; entries are sorted by node.
#[derive(Debug)]
pub struct Tables {
    device: Device,
    groups: i64,
    nodes: i64,
    hidden: i64,
    /// `[rows, hidden]`.
    rows: Tensor,
    /// `[entries]`: the entry's group, the row of its level 0, and how many rows the next level is away.
    group: Tensor,
    base: Tensor,
    stride: Tensor,
    /// `[nodes]`: each node's first entry.
    first: Tensor,
    /// `[nodes, hidden]`.
    constant: Tensor,
    /// `[nodes]`.
    pooling: Tensor,
    /// `[hidden]`.
    direction: Tensor,
    measure: OnDeviceMeasure,
    scale: f64,
}

/// As [`Measure`].
#[derive(Debug)]
enum OnDeviceMeasure {
    /// The Gram matrix is `[hidden, hidden]`.
    Cosine {
        gram: Tensor,
        gain: f64,
    },
    Prediction {
        bias: f64,
        gain: f64,
    },
}

struct Entry {
    node: u32,
    group: i64,
    base: i64,
    stride: i64,
}

impl Tables {
    fn new(scorer: &Scorer, device: Device) -> Result<Self, Error> {
        let (nodes, hidden) = (scorer.nodes() as i64, scorer.hidden() as i64);
        let mut rows: Vec<f32> = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        for (group, table) in scorer.group_tables().iter().enumerate() {
            let first_row = rows.len() as i64 / hidden;
            entries.extend(table.nodes().iter().zip(first_row..).map(|(&node, base)| Entry {
                node,
                group: group as i64,
                base,
                stride: table.nodes().len() as i64,
            }));
            rows.extend_from_slice(table.rows());
        }
        entries.sort_by_key(|entry| entry.node);
        let first = (0..nodes).map(|node| entries.partition_point(|entry| i64::from(entry.node) < node) as i64);
        let numbers = |values: Vec<i64>| Ok::<_, Error>(Tensor::f_from_slice(&values)?.f_to(device)?);
        let floats =
            |values: &[f32], shape: &[i64]| Ok::<_, Error>(Tensor::f_from_slice(values)?.f_view(shape)?.f_to(device)?);
        Ok(Self {
            device,
            groups: scorer.group_tables().len() as i64,
            nodes,
            hidden,
            rows: floats(&rows, &[-1, hidden])?,
            group: numbers(entries.iter().map(|entry| entry.group).collect())?,
            base: numbers(entries.iter().map(|entry| entry.base).collect())?,
            stride: numbers(entries.iter().map(|entry| entry.stride).collect())?,
            first: numbers(first.collect())?,
            constant: floats(scorer.constant(), &[nodes, hidden])?,
            pooling: floats(scorer.pooling(), &[nodes])?,
            direction: floats(scorer.direction(), &[hidden])?,
            measure: match scorer.measure() {
                Measure::Cosine { gram, gain } => {
                    OnDeviceMeasure::Cosine { gram: floats(gram, &[hidden, hidden])?, gain: f64::from(*gain) }
                }
                Measure::Prediction { bias, gain } => {
                    OnDeviceMeasure::Prediction { bias: f64::from(*bias), gain: f64::from(*gain) }
                }
            },
            scale: f64::from(scorer.scale()),
        })
    }
}

impl Bounds for Tables {
    type Error = Error;

    fn at_most(&self, levels: &[u8]) -> Result<Vec<f32>, Error> {
        let _no_grad = tch::no_grad_guard();
        let levels =
            Tensor::f_from_slice(levels)?.f_view([-1, self.groups])?.f_to(self.device)?.f_to_kind(Kind::Int64)?;
        let candidates = levels.size()[0];
        let row = levels.f_index_select(1, &self.group)?.f_mul(&self.stride)?.f_add(&self.base)?;
        let entries = self.group.size()[0];
        let candidate = Tensor::f_arange(candidates, (Kind::Int64, self.device))?.f_mul_scalar(entries)?;
        let bags = candidate.f_unsqueeze(1)?.f_add(&self.first)?;
        let (summed, ..) = Tensor::f_embedding_bag(
            &self.rows,
            &row.f_reshape(-1)?,
            &bags.f_reshape(-1)?,
            false,
            SUM,
            false,
            None::<&Tensor>,
            false,
        )?;
        let before_relu = summed.f_view([candidates, self.nodes, self.hidden])?.f_add(&self.constant)?;
        let pooled = before_relu.f_relu()?.f_transpose(1, 2)?.f_matmul(&self.pooling)?;
        let along = pooled.f_matmul(&self.direction)?;
        let passed = pooled.f_norm_scalaropt_dim(2, [1], false)?.f_clamp_min(self.scale)?;
        // The slack is that of `Scorer::slack`.
        let (score, magnitude) = match &self.measure {
            OnDeviceMeasure::Cosine { gram, gain } => {
                let square = pooled.f_matmul(gram)?.f_mul(&pooled)?.f_sum_dim_intlist(1, false, Kind::Float)?;
                let length = square.f_clamp_min(f64::from(f32::MIN_POSITIVE))?.f_sqrt()?;
                (along.f_div(&length)?, passed.f_mul_scalar(*gain)?.f_div(&length)?.f_add_scalar(1.0)?)
            }
            OnDeviceMeasure::Prediction { bias, gain } => {
                (along.f_add_scalar(*bias)?, passed.f_mul_scalar(*gain)?.f_add_scalar(bias.abs())?)
            }
        };
        let bound = score.f_add(&magnitude.f_mul_scalar(100.0 * f64::from(f32::EPSILON))?)?;
        Ok(Vec::try_from(&bound.f_to(Device::Cpu)?)?)
    }
}

/// The reduction of an embedding bag, as libtorch numbers it.
const SUM: i64 = 0;
