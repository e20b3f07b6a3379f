//! What it is worth to choose channels by importance: the same widths with random channels are the control.
//!
//! The contrastive encoder of SACP learns to tell importance's choice from random ones, so every job measures whether that
//! difference means anything. Channels are chosen for one candidate's widths, cut, their batch norm recalibrated, and
//! measured as in the screen.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::importance::Criterion;
use crate::statistics::Spread;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelChoice {
    /// The candidate whose widths all choices have.
    pub candidate: usize,
    /// `accuracy` on the validation split, or `agreement` with the original there when there are no labels.
    pub measure: String,
    /// With the channels of largest L1 norm.
    pub l1: f64,
    /// With the first channels of the job's own order; the same as `l1` when that is L1.
    pub own: f64,
    pub own_criterion: Criterion,
    /// With random channels, over several draws.
    pub random: Spread,
    /// `l1` minus the mean of `random`.
    pub l1_gap: f64,
}

impl ChannelChoice {
    /// Draws of random channels.
    pub const DRAWS: usize = 4;

    /// Whether L1 is no better than a random draw of one standard deviation above the mean.
    pub fn is_within_spread(&self) -> bool {
        self.l1_gap <= self.random.std
    }
}
