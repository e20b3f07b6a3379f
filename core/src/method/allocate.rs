//! From a target to widths, for the methods without a search.
//!
//! Each method is a one-parameter family of widths, monotone in its parameter. Bisection finds the first member that
//! removes enough; then channels are given back, one allowed step at a time and the most wanted first, as long as
//! enough stays removed. What is left is at most one step of one group above the target; where that is too far from it, steps of several
//! groups are combined.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use crate::configuration::Limits;
use crate::cost::{CostModel, reduction};
use crate::importance::Importance;
use crate::spec::{TARGET_TOLERANCE, Target};

#[derive(Debug, Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) costs: &'a CostModel,
    pub(super) limits: &'a Limits,
    pub(super) target: &'a Target,
}

impl Problem<'_> {
    fn reduction(&self, widths: &[usize]) -> f64 {
        reduction(self.target.metric, self.costs.full(), self.costs.at(widths))
    }

    fn removes_enough(&self, widths: &[usize]) -> bool {
        self.reduction(widths) >= self.target.reduction.get()
    }

    /// Of what is removed from what was asked for.
    fn distance(&self, widths: &[usize]) -> f64 {
        (self.reduction(widths) - self.target.reduction.get()).abs()
    }
}

/// The same share of every group.
pub(super) fn uniform(problem: &Problem<'_>) -> Vec<usize> {
    const STEPS: usize = 10_000;
    let full = problem.costs.full_widths();
    let wanted = |step: usize, group: usize| full[group] as f64 * (1.0 - step as f64 / STEPS as f64);
    let widths = |step: usize| -> Vec<usize> {
        (0..full.len()).map(|group| problem.limits.at_least(group, wanted(step, group).ceil() as usize)).collect()
    };
    let step = first(STEPS, |step| problem.removes_enough(&widths(step)));
    // Wanted back first: the group that lost most beyond its share.
    settle(problem, widths(step), |group, width| wanted(step, group) - width as f64)
}

/// One threshold over the normalised importance of all channels.
pub(super) fn global(problem: &Problem<'_>, importance: &Importance) -> Vec<usize> {
    let full = problem.costs.full_widths();
    let mut channels: Vec<(f64, usize)> =
        (0..full.len()).flat_map(|group| importance.scores(group).iter().map(move |&score| (score, group))).collect();
    channels.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let widths = |removed: usize| -> Vec<usize> {
        let mut left = full.to_vec();
        for &(_, group) in &channels[..removed] {
            left[group] -= 1;
        }
        left.iter().enumerate().map(|(group, &width)| problem.limits.at_least(group, width)).collect()
    };
    let removed = first(channels.len(), |removed| problem.removes_enough(&widths(removed)));
    // Wanted back first: the group whose next channel matters most.
    settle(problem, widths(removed), |group, width| importance.scores(group)[importance.order(group)[width] as usize])
}

/// The least value in `0..=last` for which a monotone predicate holds; `last` when there is none.
fn first(last: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Allocations that are looked at before the nearest of them is taken, and widths in all of them together.
const MOST_ALLOCATIONS: usize = 20_000;
const MOST_WIDTHS: usize = 4_000_000;

/// Gives channels back while enough stays removed. Where steps are so coarse that the result is far from the target, looks at the
/// widths around it, in steps of one group at a time and always going on from the nearest to the target, until some are near enough.
fn settle(problem: &Problem<'_>, widths: Vec<usize>, wanted: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    // They are ordered as the distances are, none of which is negative.
    let bits = f64::to_bits;
    let mut nearest = give_back(problem, widths, wanted);
    let mut seen = HashSet::from([nearest.clone()]);
    let mut open = BinaryHeap::from([Reverse((bits(problem.distance(&nearest)), nearest.clone()))]);
    let most = MOST_ALLOCATIONS.min(MOST_WIDTHS / nearest.len().max(1));
    while problem.distance(&nearest) > TARGET_TOLERANCE && seen.len() < most {
        let Some(Reverse((_, widths))) = open.pop() else { break };
        for group in 0..problem.limits.groups() {
            let width = widths[group];
            let steps = [problem.limits.narrower(group, width), problem.limits.wider(group, width)];
            for other in steps.into_iter().flatten() {
                let mut widths = widths.clone();
                widths[group] = other;
                if seen.insert(widths.clone()) {
                    open.push(Reverse((bits(problem.distance(&widths)), widths.clone())));
                    if problem.distance(&widths) < problem.distance(&nearest) {
                        nearest = widths;
                    }
                }
            }
        }
    }
    nearest
}

fn give_back(problem: &Problem<'_>, mut widths: Vec<usize>, wanted: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    if !problem.removes_enough(&widths) {
        return widths;
    }
    loop {
        let mut steps: Vec<(f64, usize, usize)> = (0..widths.len())
            .filter_map(|group| {
                let wider = problem.limits.wider(group, widths[group])?;
                Some((wanted(group, widths[group]), group, wider))
            })
            .collect();
        steps.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let affordable = steps.into_iter().find(|&(_, group, wider)| {
            let before = std::mem::replace(&mut widths[group], wider);
            let enough = problem.removes_enough(&widths);
            widths[group] = before;
            enough
        });
        match affordable {
            Some((_, group, wider)) => widths[group] = wider,
            None => return widths,
        }
    }
}
