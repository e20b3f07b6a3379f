//! What each width of a group costs the layers that read it, when these are fitted anew, and which channels should go first; without
//! cutting anything.
//!
//! From the second moments H of a layer's inputs in the original, on a few hundred samples, follows what is left of its outputs' variance
//! once a channel is gone and the rest has taken over what it can: wᵀ [H⁻¹]⁻¹ w over the rows of that channel, w being its weights
//! as they are by then. So channels are taken out one after the other, each time the one that costs the readers of its group
//! least, and weights and H⁻¹ are carried on to what is left. This is the optimal brain surgeon (Hassibi and Stork, NIPS 1992) on
//! structures, as in ZipLM (Kurtic, Frantar and Alistarh, NeurIPS 2023, arXiv 2302.04089), here for all layers that read a group together:
//! each counts by the share of its outputs' variance.

use secateur_core::configuration::Configuration;
use secateur_core::graph::{Graph, ValueId};
use secateur_core::group::{Group, Grouping, Owner};
use secateur_core::surgery::{self, Consumer, Form, Intercept, Use};
use tch::{Device, Kind, Tensor};

use super::least_squares::{Moments, ridge_factors};
use super::plan::Plan;
use super::rows::{self, Rows};
use super::walk::{self, Walk};
use super::{ELEMENTS, WIDEST, layout};
use crate::data::Split;
use crate::error::Error;
use crate::network::{Network, weights};
use crate::process::memory;

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
            // Of the one that stays to the end it is not known, but it is no less.
            losses[channel as usize] = self.errors[rank.saturating_sub(1)] + if rank == 0 { 1.0 } else { 0.0 };
        }
        losses
    }
}

/// Takes the channels of a group out one after the other; `None` where no layer that is fitted reads it.
///
/// # Errors
/// libtorch's.
pub fn eliminate(
    original: &Network,
    grouping: &Grouping,
    group: usize,
    split: &Split,
    most_samples: i64,
    seed: u64,
) -> Result<Option<Elimination>, Error> {
    let _no_grad = tch::no_grad_guard();
    let channels = grouping.groups()[group].channels();
    if channels < 2 {
        return Ok(None);
    }
    let readers = readers(original, grouping, group, split, most_samples, seed)?;
    if readers.is_empty() {
        return Ok(None);
    }
    run(readers, channels).map(Some)
}

/// A layer, or one of its groups of channels, that reads the group's channels.
struct Reader {
    /// Of the second moments of its inputs, with a ridge: `[columns, columns]`, float64.
    inverse: Tensor,
    /// `[columns, outputs]`, float64.
    matrix: Tensor,
    /// The columns of each channel: `[channels, columns of one]`.
    blocks: Tensor,
    /// What the ridge alone makes a channel cost, which is none of its outputs' variance: `[channels]`.
    excess: Tensor,
    /// The variance of its outputs.
    spread: f64,
}

fn readers(
    original: &Network,
    grouping: &Grouping,
    group: usize,
    split: &Split,
    most_samples: i64,
    seed: u64,
) -> Result<Vec<Reader>, Error> {
    let graph = original.graph();
    let keep = |(index, of_group): (usize, &Group)| {
        let all = of_group.channels() as u32;
        (0..if index == group { all - 1 } else { all }).collect()
    };
    let without_one = Configuration { keep: grouping.groups().iter().enumerate().map(keep).collect() };
    let cut = surgery::cut(graph, grouping, &without_one)
        .map_err(|error| Error::internal(format!("group {group} without its last channel: {error}")))?;
    let plan = Plan::of(graph, &cut);
    let wanted = wanted(&plan.original, &plan.consumers);
    let held = walk::peak(&plan.original) + walk::elements(&plan.original, &wanted);
    let elements = ELEMENTS.min((memory::share() / 2) as i64);
    let samples = split.affordable(most_samples).min(split.count()).min((elements / held.max(1)).max(1));
    if plan.consumers.is_empty() || samples < 2 {
        return Ok(Vec::new());
    }
    let order = Tensor::f_cat(&split.shuffled(samples, seed, 0)?[..1], 0)?;
    let inputs = split.select(&order)?;
    let mut walk = Walk::new(&plan.original, &inputs);
    let end = plan.consumers.iter().flat_map(|consumer| &consumer.uses).map(|found| found.node + 1).max();
    let of_inputs = wanted.iter().filter_map(|&value| match plan.original.producer(value) {
        secateur_core::graph::Producer::Node { node, .. } => Some(node + 1),
        _ => None,
    });
    let end = end.into_iter().chain(of_inputs).max().unwrap_or(0);
    walk.to(end, &wanted, original.weights())?;
    let mut readers = Vec::new();
    let mut generator = seed;
    for consumer in &plan.consumers {
        generator = generator.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        of_layer(
            &plan.original,
            original.weights(),
            &grouping.groups()[group],
            consumer,
            &walk,
            generator,
            &mut readers,
        )?;
    }
    Ok(readers)
}

/// What is read of the original.
fn wanted(graph: &Graph, consumers: &[Consumer]) -> Vec<ValueId> {
    let of_use = |found: &Use| {
        let output = matches!(found.form, Form::Convolution(_) | Form::TransposedConvolution(_))
            .then(|| graph.nodes()[found.node].outputs[0]);
        [found.input].into_iter().chain(output)
    };
    let mut values: Vec<ValueId> = consumers.iter().flat_map(|consumer| &consumer.uses).flat_map(of_use).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn of_layer(
    graph: &Graph,
    tensors: &[Tensor],
    group: &Group,
    consumer: &Consumer,
    walk: &Walk,
    seed: u64,
    readers: &mut Vec<Reader>,
) -> Result<(), Error> {
    let weight = &tensors[consumer.weight];
    let form = &consumer.uses[0].form;
    let (columns, _) = layout::size(form, &weight.size());
    if !(2..=WIDEST).contains(&columns) || !weights::is_float(weight.f_kind()?) {
        return Ok(());
    }
    let name = &graph.parameters()[consumer.weight].name;
    let axis = form.input_axis();
    let is_read =
        |owner: &Owner| matches!(owner, Owner::Parameter { name: own, axis: at } if own == name && *at == axis);
    let Some(member) = group.members.iter().find(|member| is_read(&member.owner)) else { return Ok(()) };
    let most = (rows::wanted(columns) / consumer.uses.len() as i64).max(1);
    for of_layer in 0..form.groups() {
        let Some(blocks) =
            blocks(form, &weight.size(), group.channels(), |channel| member.of_channel(channel), of_layer)
        else {
            continue;
        };
        let mut total: Option<Moments> = None;
        for found in &consumer.uses {
            let inputs = read(walk, found)?;
            let targets = match found.form {
                Form::Linear { .. } => inputs.shallow_clone(),
                _ => walk.value(graph.nodes()[found.node].outputs[0])?.shallow_clone(),
            };
            let mut rows = Rows::of(&found.form, &inputs, &targets, most, seed)?;
            let is_centred = found.intercept != Intercept::None;
            let Some(own) = Moments::of_inputs(&mut rows, of_layer, is_centred)? else { continue };
            match &mut total {
                Some(total) => total.add(own)?,
                None => total = Some(own),
            }
        }
        let Some(Moments { gram, .. }) = total else { continue };
        let matrix = layout::matrix(form, &weight.f_to_kind(Kind::Float)?, of_layer)?.f_to_kind(Kind::Double)?;
        let spread = matrix.f_mul(&gram.f_matmul(&matrix)?)?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let diagonal = gram.f_diagonal(0, 0, 1)?.f_mean(Kind::Double)?.f_double_value(&[])?;
        let Some(factors) = ridge_factors(&[gram], diagonal)? else { continue };
        if !(spread.is_finite() && spread > 0.0) {
            continue;
        }
        let inverse = factors.parts[0].f_cholesky_inverse(false)?;
        let blocks = blocks.f_to(inverse.device())?;
        let of_column = matrix.f_square()?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Double)?;
        let excess = of_column.f_index(&[Some(blocks.shallow_clone())])?.f_sum_dim_intlist(
            [1_i64].as_slice(),
            false,
            Kind::Double,
        )?;
        let excess = excess.f_mul_scalar(factors.ridge)?;
        readers.push(Reader { inverse, matrix, blocks, excess, spread });
    }
    Ok(())
}

fn read(walk: &Walk, found: &Use) -> Result<Tensor, Error> {
    let whole = walk.value(found.input)?;
    let Some(direction) = found.direction else { return Ok(whole.shallow_clone()) };
    let units = whole.size().last().copied().unwrap_or(0) / direction.count as i64;
    Ok(whole.f_narrow(-1, direction.index as i64 * units, units)?)
}

/// The columns of each channel in a layer's group; `None` where channels do not all have as many.
fn blocks<'a>(
    form: &Form,
    weight: &[i64],
    channels: usize,
    indices: impl Fn(usize) -> &'a [u32],
    of_layer: i64,
) -> Option<Tensor> {
    let (kernel, first, inputs) = match form {
        Form::Linear { .. } => (1, 0, i64::MAX),
        Form::Convolution(_) => (weight[2..].iter().product::<i64>(), 0, i64::MAX),
        Form::TransposedConvolution(windows) => {
            let inputs = weight[0] / windows.groups;
            (weight[2..].iter().product(), of_layer * inputs, inputs)
        }
    };
    let mut all = Vec::new();
    let mut size = None;
    for channel in 0..channels {
        let own = indices(channel).iter().map(|&index| i64::from(index) - first).filter(|at| (0..inputs).contains(at));
        let columns: Vec<i64> = own.flat_map(|at| at * kernel..(at + 1) * kernel).collect();
        if columns.is_empty() || size.is_some_and(|size| size != columns.len()) {
            return None;
        }
        size = Some(columns.len());
        all.extend(columns);
    }
    Tensor::from_slice(&all).f_view([channels as i64, size? as i64]).ok()
}

fn run(mut readers: Vec<Reader>, channels: usize) -> Result<Elimination, Error> {
    let at_a_time = channels.div_ceil(STEPS);
    let mut left: Vec<u32> = (0..channels as u32).collect();
    let mut gone: Vec<u32> = Vec::new();
    // By the number of channels that are gone.
    let mut errors = vec![0.0];
    while left.len() > 1 {
        let costs = costs(&readers, &left)?;
        let mut ranks: Vec<usize> = (0..left.len()).collect();
        ranks.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        ranks.truncate(at_a_time.min(left.len() - 1));
        let chosen: Vec<u32> = ranks.iter().map(|&rank| left[rank]).collect();
        let single: f64 = ranks.iter().map(|&rank| costs[rank]).sum();
        let mut joint = 0.0;
        for reader in &mut readers {
            joint += reader.remove(&chosen)?;
        }
        let before = *errors.last().expect("it begins with one");
        let mut part = 0.0;
        for &rank in &ranks {
            part += costs[rank];
            errors.push(before + joint * if single > 0.0 { part / single } else { 1.0 });
        }
        left.retain(|channel| !chosen.contains(channel));
        gone.extend(chosen);
    }
    gone.extend(left);
    gone.reverse();
    errors.reverse();
    Ok(Elimination { order: gone, errors })
}

/// What each of these channels would cost if it were the next, summed over the readers.
fn costs(readers: &[Reader], left: &[u32]) -> Result<Vec<f64>, Error> {
    let indices: Vec<i64> = left.iter().map(|&channel| i64::from(channel)).collect();
    let indices = Tensor::f_from_slice(&indices)?;
    let mut sum = Tensor::f_zeros([left.len() as i64], (Kind::Double, Device::Cpu))?;
    for reader in readers {
        sum = sum.f_add(&reader.costs(&indices)?.f_to(Device::Cpu)?)?;
    }
    Ok(Vec::<f64>::try_from(&sum)?)
}

impl Reader {
    fn costs(&self, channels: &Tensor) -> Result<Tensor, Error> {
        let channels = channels.f_to(self.blocks.device())?;
        let blocks = self.blocks.f_index_select(0, &channels)?;
        let (count, size, outputs) = (blocks.size()[0], blocks.size()[1], self.matrix.size()[1]);
        let rows = self.matrix.f_index_select(0, &blocks.f_reshape([-1])?)?.f_view([count, size, outputs])?;
        let own = self.inverse.f_index(&[Some(blocks.f_unsqueeze(2)?), Some(blocks.f_unsqueeze(1)?)])?;
        let (factor, _) = own.f_linalg_cholesky_ex(false, false)?;
        let whitened = factor.f_linalg_solve_triangular(&rows, false, true, false)?;
        let cost = whitened.f_square()?.f_sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Double)?;
        let cost = cost.f_sub(&self.excess.f_index_select(0, &channels)?)?.f_clamp_min(0.0)?;
        Ok(cost.f_div_scalar(self.spread)?.f_nan_to_num(f64::MAX, f64::MAX, 0.0)?)
    }

    /// Takes channels out; returns what they cost together.
    fn remove(&mut self, channels: &[u32]) -> Result<f64, Error> {
        let indices: Vec<i64> = channels.iter().map(|&channel| i64::from(channel)).collect();
        let indices = Tensor::f_from_slice(&indices)?.f_to(self.blocks.device())?;
        let columns = self.blocks.f_index_select(0, &indices)?.f_reshape([-1])?;
        let across = self.inverse.f_index_select(1, &columns)?;
        let own = across.f_index_select(0, &columns)?;
        let rows = self.matrix.f_index_select(0, &columns)?;
        let (factor, _) = own.f_linalg_cholesky_ex(false, false)?;
        let cost = rows.f_mul(&rows.f_cholesky_solve(&factor, false)?)?.f_sum(Kind::Double)?;
        let excess = self.excess.f_index_select(0, &indices)?.f_sum(Kind::Double)?;
        let cost = cost.f_sub(&excess)?.f_double_value(&[])?.max(0.0);
        let _ = self.matrix.f_sub_(&across.f_matmul(&rows.f_cholesky_solve(&factor, false)?)?)?;
        let turned = across.f_transpose(0, 1)?.f_contiguous()?;
        let _ = self.inverse.f_sub_(&across.f_matmul(&turned.f_cholesky_solve(&factor, false)?)?)?;
        Ok(if cost.is_finite() { cost / self.spread } else { f64::MAX })
    }
}
