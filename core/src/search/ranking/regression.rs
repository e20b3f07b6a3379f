//! The sample that the encoder is fitted to with `encoder.objective` `regression`: random configurations, measured on the
//! network itself. (The ranking `sensitivity` rests on other measurements, see [`super::sensitivity`].)
//!
//! Configuration n depends on the seed and n alone, so tasks may measure any of them. Even numbers lie in the target's band,
//! where the search looks; odd ones in bands of the same breadth spread over all reductions that the limits allow, so
//! that the fit sees what cutting little and cutting much cost.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::search::space::{Band, Levels, Space};

/// Draws before a configuration is given up.
const ATTEMPTS: usize = 16;

/// A measured configuration of the sample: cut, with re-estimated batch norm statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Place of the configuration in the sample, from 0.
    pub index: usize,
    /// Channels kept, by group.
    pub widths: Vec<usize>,
    /// Validation accuracy; `None` without labels.
    #[serde(default)]
    pub accuracy: Option<f64>,
    /// KL divergence of its outputs from the original's, nats.
    pub divergence: f64,
}

impl Sampled {
    /// What the encoder is fitted to, the more the better: accuracy, without labels minus the divergence.
    pub fn value(&self) -> f64 {
        self.accuracy.unwrap_or(-self.divergence)
    }
}

/// Configuration `index` of the sample; `None` when no draw led into its band.
pub fn draw(space: &Space<'_>, target: Band, seed: u64, index: usize) -> Option<Levels> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // The walk has the streams from 0 up and the refinement those from the top down.
    random.set_stream((1 << 62) + index as u64);
    let breadth = target.high - target.low;
    let most = space.reduction(&space.point(vec![0; space.groups()]));
    for _ in 0..ATTEMPTS {
        let low = if index.is_multiple_of(2) { target.low } else { random.random::<f64>() * (most - breadth).max(0.0) };
        if let Some(point) = space.draw(Band { low, high: low + breadth }, &mut random) {
            return Some(point.levels);
        }
    }
    None
}
