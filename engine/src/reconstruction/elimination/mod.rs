//! What each width of a group costs the layers that read it once they are fitted anew, and which channels should go first; without
//! cutting anything.
//!
//! Channels are taken out one after the other, each time the one that costs the group's readers least ([`reader`]). Each reader counts by
//! the share of its outputs' variance that it loses.

mod reader;

use secateur_core::configuration::Configuration;
use secateur_core::graph::{Producer, ValueId};
use secateur_core::group::{Group, Grouping};
use secateur_core::surgery;
use tch::{Device, Kind, Tensor};

use super::plan::Plan;
use super::walk::{self, Walk};
use super::{affordable, drawn, following};
use crate::data::Split;
use crate::error::Error;
use crate::network::Network;
use crate::process::memory;

use reader::{Layer, Reader};

/// Channels of wide groups go some at a time, so that there are so many steps.
const STEPS: usize = 64;

/// What becomes of the readers of a group as its channels go.
#[derive(Debug, Clone, PartialEq)]
pub struct Elimination {
    /// From the last to go to the first.
    pub order: Vec<u32>,
    /// For each number of channels left, from one to all: the share of its outputs' variance that a reader loses, summed over the readers.
    pub errors: Vec<f64>,
}

impl Elimination {
    /// For each channel, by its index, what is lost once it has gone too; the more, the more important it is.
    pub fn losses(&self) -> Vec<f64> {
        let mut losses = vec![0.0; self.order.len()];
        for (rank, &channel) in self.order.iter().enumerate() {
            // Of the one that stays to the end it is not known; it is no less than of the one before.
            let stays = if rank == 0 { 1.0 } else { 0.0 };
            losses[channel as usize] = self.errors[rank.saturating_sub(1)] + stays;
        }
        losses
    }
}

/// What groups are taken apart on.
#[derive(Clone, Copy)]
pub struct Eliminator<'a> {
    /// The uncut network.
    pub original: &'a Network,
    pub grouping: &'a Grouping,
    pub split: &'a Split,
    /// Fewer are taken where their activations do not fit into memory.
    pub most_samples: i64,
    pub seed: u64,
}

impl Eliminator<'_> {
    /// Takes the channels of a group out one after the other; `None` where no layer that is fitted reads it.
    ///
    /// # Errors
    /// libtorch's.
    pub fn eliminate(self, group: usize) -> Result<Option<Elimination>, Error> {
        let _no_grad = tch::no_grad_guard();
        let channels = self.grouping.groups()[group].channels();
        if channels < 2 {
            return Ok(None);
        }
        let readers = self.readers(group)?;
        if readers.is_empty() { Ok(None) } else { one_after_the_other(readers, channels).map(Some) }
    }

    /// The readers of a group, as far as their second moments fit into memory together; the first in any case.
    fn readers(self, group: usize) -> Result<Vec<Reader>, Error> {
        let Self { original, grouping, split, most_samples, seed } = self;
        let graph = original.graph();
        let kept = |(index, of_group): (usize, &Group)| {
            let all = of_group.channels() as u32;
            (0..if index == group { all - 1 } else { all }).collect()
        };
        // Whatever is fitted when channels of the group are gone is fitted when one is.
        let without_one = Configuration { keep: grouping.groups().iter().enumerate().map(kept).collect() };
        let cut = surgery::cut(graph, grouping, &without_one)
            .map_err(|error| Error::internal(format!("group {group} without its last channel: {error}")))?;
        let plan = Plan::of(graph, &cut);
        let layers: Vec<Layer> = plan
            .consumers
            .iter()
            .filter_map(|consumer| Layer::of(&plan.original, original.weights(), &grouping.groups()[group], consumer))
            .collect();
        let mut wanted: Vec<ValueId> = layers.iter().flat_map(Layer::reads).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let samples =
            affordable(split, most_samples, walk::peak(&plan.original) + walk::elements(&plan.original, &wanted));
        if layers.is_empty() || samples < 2 {
            return Ok(Vec::new());
        }
        let inputs = drawn(split, samples, seed)?;
        let mut walk = Walk::new(&plan.original, &inputs);
        let behind = |value: &ValueId| match plan.original.producer(*value) {
            Producer::Node { node, .. } => node + 1,
            Producer::Input(_) | Producer::Parameter(_) => 0,
        };
        walk.to(wanted.iter().map(behind).max().unwrap_or(0), &wanted, original.weights())?;
        let (mut readers, mut elements): (Vec<Reader>, i64) = (Vec::new(), 0);
        let mut generator = seed;
        for layer in &layers {
            generator = following(generator);
            for part in 0..layer.groups() {
                let more = layer.columns() * layer.columns();
                if !readers.is_empty() && elements + more > (memory::share() / 2) as i64 {
                    break;
                }
                if let Some(reader) = layer.reader(&walk, part, generator)? {
                    elements += more;
                    readers.push(reader);
                }
            }
        }
        Ok(readers)
    }
}

fn one_after_the_other(mut readers: Vec<Reader>, channels: usize) -> Result<Elimination, Error> {
    let at_a_time = channels.div_ceil(STEPS);
    let mut left: Vec<u32> = (0..channels as u32).collect();
    let mut gone: Vec<u32> = Vec::new();
    // By the number of channels that are gone.
    let mut errors = vec![0.0];
    let mut lost = 0.0;
    while left.len() > 1 {
        let costs = costs(&readers, &left)?;
        let mut ranks: Vec<usize> = (0..left.len()).collect();
        ranks.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        ranks.truncate(at_a_time.min(left.len() - 1));
        let chosen: Vec<u32> = ranks.iter().map(|&rank| left[rank]).collect();
        let mut together = 0.0;
        for reader in &mut readers {
            together += reader.remove(&chosen)?;
        }
        // What they cost together is spread over them as they cost alone.
        let alone: f64 = ranks.iter().map(|&rank| costs[rank]).sum();
        let mut part = 0.0;
        for &rank in &ranks {
            part += costs[rank];
            errors.push(lost + together * if alone > 0.0 { part / alone } else { 1.0 });
        }
        lost += together;
        left.retain(|channel| !chosen.contains(channel));
        gone.extend(chosen);
    }
    let order = left.into_iter().chain(gone.into_iter().rev()).collect();
    errors.reverse();
    Ok(Elimination { order, errors })
}

/// What each of these channels would cost if it were the next, summed over the readers.
fn costs(readers: &[Reader], left: &[u32]) -> Result<Vec<f64>, Error> {
    let mut sum = Tensor::f_zeros([left.len() as i64], (Kind::Double, Device::Cpu))?;
    for reader in readers {
        sum = sum.f_add(&reader.costs(left)?.f_to(Device::Cpu)?)?;
    }
    Ok(Vec::<f64>::try_from(&sum)?)
}

#[cfg(test)]
mod tests;
