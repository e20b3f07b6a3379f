//! The ranking `sensitivity`: a sum of what each group's level costs in output distortion.
//!
//! For each group at each level a penalty, from measurements on the network itself without labels (the stage `sensitivity`); a
//! candidate's score is minus the sum of its groups' penalties, so the best has the least predicted distortion. A move
//! changes one term.

use super::Ranking;
use crate::configuration::Limits;
use crate::search::space::{Levels, Space};

/// Shares of a group that are cut when its sensitivity is measured.
pub const RATES: [f64; 4] = [0.25, 0.5, 0.7, 0.9];

/// Penalty of each group at each level of a [`Space`], in nats of predicted KL divergence.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitivitySum {
    penalties: Vec<Vec<f32>>,
}

/// One measurement: a group alone cut to a width, everything else whole.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sensitivity {
    /// Index of the group.
    pub group: usize,
    /// Channels that the group keeps.
    pub width: usize,
    /// KL divergence of the cut network's outputs from the original's, mean over samples, nats.
    pub divergence: f64,
}

impl Sensitivity {
    /// The probe that this measures.
    pub fn probe(&self) -> Probe {
        Probe { group: self.group, width: self.width }
    }
}

/// A sensitivity that is to be measured: a group and the width that it is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Probe {
    /// Index of the group.
    pub group: usize,
    /// Channels that the group keeps.
    pub width: usize,
}

/// The sensitivities that a search needs: every group at the allowed widths next to [`RATES`].
///
/// # Panics
/// Never: the full width of a group is always allowed.
pub fn probes(limits: &Limits) -> Vec<Probe> {
    (0..limits.groups())
        .flat_map(|group| {
            let full = *limits.allowed(group).last().expect("the full width is always allowed");
            let at = |rate: f64| limits.at_least(group, ((1.0 - rate) * full as f64).round().max(1.0) as usize);
            let mut widths: Vec<usize> = RATES.into_iter().map(at).filter(|&width| width < full).collect();
            widths.dedup();
            widths.into_iter().map(move |width| Probe { group, width })
        })
        .collect()
}

impl SensitivitySum {
    /// Interpolates measurements linearly in the width; nothing cut costs nothing, and narrower than measured
    /// costs what the line through the last two measurements says. Penalties never fall when a group gets narrower.
    ///
    /// # Panics
    /// Never: every group of a space has a level.
    pub fn interpolate(space: &Space<'_>, measured: &[Sensitivity]) -> Self {
        let penalties = (0..space.groups())
            .map(|group| {
                let full = *space.widths(group).last().expect("every group has a level") as f64;
                let mut points: Vec<(f64, f64)> = measured
                    .iter()
                    .filter(|sensitivity| sensitivity.group == group)
                    .map(|sensitivity| (1.0 - sensitivity.width as f64 / full, sensitivity.divergence.max(0.0)))
                    .collect();
                points.push((0.0, 0.0));
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                let mut most = 0.0f64;
                let mut penalties: Vec<f32> = space
                    .widths(group)
                    .iter()
                    .rev()
                    .map(|&width| {
                        most = most.max(on_line(&points, 1.0 - width as f64 / full));
                        most as f32
                    })
                    .collect();
                penalties.reverse();
                penalties
            })
            .collect();
        Self { penalties }
    }

    /// Penalties as they are given: group, level.
    pub fn new(penalties: Vec<Vec<f32>>) -> Self {
        Self { penalties }
    }

    /// Predicted divergence of one group at one level, nats.
    pub fn penalty(&self, group: usize, level: u8) -> f32 {
        self.penalties[group][level as usize]
    }

    /// Predicted distortion of a point, nats.
    pub fn distortion(&self, levels: &[u8]) -> f64 {
        levels.iter().enumerate().map(|(group, &level)| f64::from(self.penalty(group, level))).sum()
    }
}

/// The piecewise linear curve through points of ascending x; beyond the last the last piece goes on.
fn on_line(points: &[(f64, f64)], x: f64) -> f64 {
    if points.len() == 1 {
        return points[0].1;
    }
    let upper = points.partition_point(|&(at, _)| at < x).clamp(1, points.len() - 1);
    let ((x0, y0), (x1, y1)) = (points[upper - 1], points[upper]);
    if x1 > x0 { y0 + (y1 - y0) * (x - x0) / (x1 - x0) } else { y1 }
}

/// A candidate's sum.
#[derive(Debug, Clone)]
pub struct Sum {
    levels: Levels,
    total: f64,
}

impl Ranking for SensitivitySum {
    type State = Sum;

    fn state(&self, levels: &[u8]) -> Sum {
        Sum { levels: levels.to_vec(), total: self.distortion(levels) }
    }

    fn reset(&self, state: &mut Sum, levels: &[u8]) {
        state.levels.copy_from_slice(levels);
        state.total = self.distortion(levels);
    }

    fn shift(&self, state: &mut Sum, group: usize, level: u8) {
        state.total += f64::from(self.penalty(group, level)) - f64::from(self.penalty(group, state.levels[group]));
        state.levels[group] = level;
    }

    fn score(&self, state: &Sum) -> f32 {
        -state.total as f32
    }

    fn slack(&self, state: &Sum) -> f32 {
        f32::EPSILON * (1.0 + state.total.abs() as f32)
    }

    fn levels<'a>(&self, state: &'a Sum) -> &'a [u8] {
        &state.levels
    }
}
