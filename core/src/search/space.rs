//! The discrete space: levels per group, and the costs of a point by difference.

use rand::{Rng, RngExt};

use crate::configuration::Limits;
use crate::cost::{CostModel, Metric, Term};
use crate::number::Reduction;
use crate::spec::TARGET_TOLERANCE;

/// A point of the space: for each group an index into [`Space::widths`], 0 the narrowest.
pub type Levels = Vec<u8>;

/// The share removed must lie in `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Least share removed.
    pub low: f64,
    /// Largest share removed.
    pub high: f64,
}

impl Band {
    /// Where a search for a target looks: from the target to one percentage point above.
    pub fn of_target(target: Reduction) -> Self {
        Self { low: target.get(), high: target.get() + TARGET_TOLERANCE }
    }

    /// Whether a share removed lies in the band, its ends included.
    pub fn holds(&self, reduction: f64) -> bool {
        (self.low..=self.high).contains(&reduction)
    }
}

/// Levels per group, and what each costs.
#[derive(Debug)]
pub struct Space<'a> {
    costs: &'a CostModel,
    metric: Metric,
    /// Group, level: channels kept, ascending.
    widths: Vec<Vec<usize>>,
    /// Products in which a group occurs.
    products_of: Vec<Vec<usize>>,
    products: Vec<Term>,
    full: f64,
}

impl<'a> Space<'a> {
    /// The levels that removing 0, `rate_step`, 2 `rate_step`, … of each group's channels gives, within the limits; at most 255.
    pub fn new(costs: &'a CostModel, limits: &Limits, metric: Metric, rate_step: f64) -> Self {
        let full_widths = costs.full_widths();
        let widths: Vec<Vec<usize>> = (0..limits.groups())
            .map(|group| {
                let steps = (1.0 / rate_step.max(1.0 / 254.0)).ceil() as usize;
                let least = limits.allowed(group)[0];
                let mut widths: Vec<usize> = (0..=steps)
                    .map(|step| full_widths[group] as f64 * (1.0 - step as f64 * rate_step))
                    .map(|width| limits.at_least(group, (width - 1e-9).ceil().max(least as f64) as usize))
                    .collect();
                widths.sort_unstable();
                widths.dedup();
                widths
            })
            .collect();
        let products = costs.terms(metric);
        let mut products_of = vec![Vec::new(); widths.len()];
        for (index, product) in products.iter().enumerate() {
            for group in product.groups() {
                products_of[group].push(index);
            }
        }
        Self { costs, metric, widths, products_of, products, full: costs.full().of(metric) }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.widths.len()
    }

    /// Channels that a group may keep, ascending.
    pub fn widths(&self, group: usize) -> &[usize] {
        &self.widths[group]
    }

    /// Number of points, as a logarithm to base 10.
    pub fn log10_size(&self) -> f64 {
        self.widths.iter().map(|widths| (widths.len() as f64).log10()).sum()
    }

    /// The metric that the target counts.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The cost model of the network.
    pub fn costs(&self) -> &CostModel {
        self.costs
    }

    /// The point at which every group keeps most.
    pub fn widest(&self) -> Levels {
        self.widths.iter().map(|widths| widths.len() as u8 - 1).collect()
    }

    /// The point whose widths are nearest to these.
    ///
    /// # Panics
    /// Never: every group of a space has a level.
    pub fn nearest(&self, widths: &[usize]) -> Levels {
        widths
            .iter()
            .enumerate()
            .map(|(group, &width)| {
                let levels = self.widths(group).iter().enumerate();
                let (level, _) = levels.min_by_key(|(_, at)| at.abs_diff(width)).expect("every group has a level");
                level as u8
            })
            .collect()
    }

    /// Channels kept at a point.
    pub fn kept(&self, levels: &[u8]) -> Vec<usize> {
        levels.iter().enumerate().map(|(group, &level)| self.widths[group][level as usize]).collect()
    }

    /// A point with its cost.
    pub fn point(&self, levels: Levels) -> Point {
        let kept: Vec<f64> = self.kept(&levels).into_iter().map(|width| width as f64).collect();
        let parts: Vec<f64> = self.products.iter().map(|product| product.at(&kept)).collect();
        let cost = parts.iter().sum();
        Point { levels, kept, parts, cost }
    }

    /// The share removed at a point.
    pub fn reduction(&self, point: &Point) -> f64 {
        1.0 - point.cost / self.full
    }

    /// Moves one group of a point to another level; only the products that hold the group are computed again.
    pub fn shift(&self, point: &mut Point, group: usize, level: u8) {
        point.levels[group] = level;
        point.kept[group] = self.widths[group][level as usize] as f64;
        for &index in &self.products_of[group] {
            let part = self.products[index].at(&point.kept);
            point.cost += part - point.parts[index];
            point.parts[index] = part;
        }
    }

    /// Moves a point to these levels.
    pub fn follow(&self, point: &mut Point, levels: &[u8]) {
        for (group, &level) in levels.iter().enumerate() {
            if point.levels[group] != level {
                self.shift(point, group, level);
            }
        }
    }

    /// Draws a point inside the band: random levels first, each group's uniform, then single random steps towards the band.
    /// `None` when the steps do not lead into it.
    pub fn draw(&self, band: Band, random: &mut impl Rng) -> Option<Point> {
        let levels = self.widths.iter().map(|widths| random.random_range(0..widths.len()) as u8).collect();
        let mut point = self.point(levels);
        self.enter(&mut point, band, random).then_some(point)
    }

    /// Moves a point into the band by single steps of random groups.
    pub fn enter(&self, point: &mut Point, band: Band, random: &mut impl Rng) -> bool {
        let groups = self.groups();
        let most_steps = 64 * groups + 64;
        for _ in 0..most_steps {
            let reduction = self.reduction(point);
            let widen = if reduction > band.high {
                true
            } else if reduction < band.low {
                false
            } else {
                return true;
            };
            // The first group from a random one on that can step; one always can unless the band is out of reach.
            let start = random.random_range(0..groups);
            let can_step = |group: usize| {
                let level = point.levels[group] as usize;
                if widen { level + 1 < self.widths[group].len() } else { level > 0 }
            };
            let Some(group) = (0..groups).map(|offset| (start + offset) % groups).find(|&group| can_step(group)) else {
                return false;
            };
            let level = point.levels[group];
            self.shift(point, group, if widen { level + 1 } else { level - 1 });
        }
        false
    }
}

/// A point with its cost, kept up to date by [`Space::shift`].
#[derive(Debug, Clone)]
pub struct Point {
    /// The level of every group.
    pub levels: Levels,
    kept: Vec<f64>,
    parts: Vec<f64>,
    cost: f64,
}

impl Point {
    /// The metric's value: multiply-accumulates, parameters, channels or milliseconds.
    pub fn cost(&self) -> f64 {
        self.cost
    }
}
