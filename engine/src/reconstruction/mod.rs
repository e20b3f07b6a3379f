//! Repair of a cut network in closed form, before any step of training: every layer that lost inputs is fitted anew to what it gave in the
//! original, on a few hundred samples without labels.
//!
//! In program order, so that each layer is fitted on the inputs that the repaired layers before it give: with X its inputs in the cut network
//! and Y what the original's layer gives at the kept channels, the change of its weights is argmin ‖Y − X (W + Δ)‖² + λ ‖Δ‖², over centred
//! X and Y; what is left of the means goes into the bias or off the running mean of the batch norm behind it. Batch norm
//! statistics stay the original's. The idea is that of He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks",
//! ICCV 2017 (arXiv 1707.06168); the ridge pulls towards the cut weights and not towards zero.
//!
//! Both networks run once, piece by piece from layer to layer, on one batch that is as large as [`ELEMENTS`] allows. Weights that several
//! nodes share are fitted on the rows of all of them, which are taken from the original where they depend on the weights themselves.

pub mod elimination;
mod layout;
mod least_squares;
mod plan;
mod rows;
mod walk;

use std::collections::BTreeMap;

use secateur_core::graph::{Graph, ValueId};
use secateur_core::surgery::{Consumer, Cut, Form, Goal, Intercept, Source, Use};
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::network::{Network, weights};
use crate::process::memory;

use least_squares::{Part, Place, Problem};
use plan::Plan;
use rows::Rows;
use walk::Walk;

/// Elements of all activations that are held at a time, of both networks: 1 GiB of float32, or two shares of the memory.
const ELEMENTS: i64 = 1 << 28;

/// Inputs of a layer, per output, up to which it is solved at once: their Gram matrix has the square of so many elements, in float64.
const WIDEST: i64 = 8192;

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconstruction {
    /// Layers that were fitted.
    pub layers: usize,
    /// Layers that lost inputs and were left: not of a kind that is fitted, or without a solution in numbers.
    pub left: usize,
    /// Samples that they were fitted on.
    pub samples: i64,
}

/// Fits the layers of a network that was cut and not changed since. Comes back without a change where there is nothing to fit.
///
/// # Errors
/// libtorch's.
pub fn reconstruct(
    original: &Network,
    cut: &Cut,
    network: Network,
    split: &Split,
    most_samples: i64,
    seed: u64,
) -> Result<(Network, Reconstruction), Error> {
    let _no_grad = tch::no_grad_guard();
    let plan = Plan::of(original.graph(), cut);
    let ahead = plan.ahead();
    let held = 2 * walk::peak(&plan.original) + walk::elements(&plan.original, &ahead);
    let samples = affordable(split, most_samples, held);
    let mut found = Reconstruction { layers: 0, left: plan.lost, samples };
    if plan.consumers.is_empty() || samples < 2 {
        return Ok((network, found));
    }
    let inputs = drawn(split, samples, seed)?;
    let (cut_graph, tensors) = network.into_parts();
    let mut tensors = weights::for_each_owned(&cut_graph, |index, _| Ok(tensors[index].shallow_clone()))?;
    let mut walks = Walks::new(&plan, &inputs, &ahead, original.weights())?;
    let mut generator = seed;
    for (number, consumer) in plan.consumers.iter().enumerate() {
        let needed = plan.needed(&plan.consumers[number..]);
        walks.original.to(Plan::end(consumer), &needed, original.weights())?;
        walks.cut.to(consumer.uses[0].node, &needed, &tensors)?;
        generator = following(generator);
        let kept = kept_indices(&plan.original, cut, consumer)?;
        let examples =
            consumer.uses.iter().map(|found| walks.examples(found, &original.weights()[consumer.weight], &kept));
        let examples: Vec<Examples> = examples.collect::<Result<_, _>>()?;
        if let Some(changes) = fitted(consumer, &tensors, &examples, generator)? {
            for (index, tensor) in changes {
                tensors[index] = tensor;
            }
            found.layers += 1;
        }
    }
    found.left -= found.layers;
    let tensors = weights::for_each_owned(&cut_graph, |index, _| Ok(tensors[index].shallow_clone()))?;
    Ok((Network::new(cut_graph, tensors)?, found))
}

/// How many samples of a split may run at once where each holds so many elements.
fn affordable(split: &Split, most: i64, held: i64) -> i64 {
    let elements = ELEMENTS.min((memory::share() / 2) as i64);
    split.affordable(most).min(split.count()).min((elements / held.max(1)).max(1))
}

/// So many samples of a split.
fn drawn(split: &Split, samples: i64, seed: u64) -> Result<Vec<Tensor>, Error> {
    split.select(&Tensor::f_cat(&split.shuffled(samples, seed, 0)?[..1], 0)?)
}

/// A seed for the next layer (Knuth's linear congruential generator).
fn following(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)
}

/// The part of a layer's input that it multiplies.
fn part(whole: &Tensor, found: &Use) -> Result<Tensor, Error> {
    let Some(direction) = found.direction else { return Ok(whole.shallow_clone()) };
    let units = whole.size().last().copied().unwrap_or(0) / direction.count as i64;
    Ok(whole.f_narrow(-1, direction.index as i64 * units, units)?)
}

/// Both networks on their way.
struct Walks<'a> {
    plan: &'a Plan,
    original: Walk<'a>,
    cut: Walk<'a>,
    /// The original at its end, with what is needed of it before.
    ahead: Option<Walk<'a>>,
}

/// What a layer reads, and what it should give.
struct Examples {
    inputs: Tensor,
    targets: Tensor,
}

impl<'a> Walks<'a> {
    fn new(plan: &'a Plan, inputs: &[Tensor], ahead: &[ValueId], weights: &[Tensor]) -> Result<Self, Error> {
        let whole = || -> Result<Walk<'a>, Error> {
            let mut walk = Walk::new(&plan.original, inputs);
            walk.to(plan.original.nodes().len(), ahead, weights)?;
            Ok(walk)
        };
        let ahead = if ahead.is_empty() { None } else { Some(whole()?) };
        Ok(Self { plan, original: Walk::new(&plan.original, inputs), cut: Walk::new(&plan.narrow, inputs), ahead })
    }

    fn of_original(&self, value: ValueId) -> Result<&Tensor, Error> {
        match &self.ahead {
            Some(ahead) if ahead.holds(value) => ahead.value(value),
            _ => self.original.value(value),
        }
    }

    fn examples(&self, found: &Use, weight: &Tensor, kept: &KeptIndices) -> Result<Examples, Error> {
        let channels =
            |tensor: &Tensor| if matches!(found.form, Form::Linear { .. }) { tensor.dim() as i64 - 1 } else { 1 };
        let read = || part(self.of_original(found.input)?, found);
        let inputs = match found.source {
            Source::Cut => self.cut.value(found.input)?.shallow_clone(),
            Source::Original => {
                let inputs = read()?;
                chosen(&inputs, channels(&inputs), kept.inputs.as_ref())?
            }
        };
        let targets = match found.goal {
            Goal::Output => self.of_original(self.plan.original.nodes()[found.node].outputs[0])?.shallow_clone(),
            Goal::Product => {
                read()?.f_to_kind(Kind::Float)?.f_matmul(&weight.f_to_kind(Kind::Float)?.f_transpose(0, 1)?)?
            }
        };
        Ok(Examples { inputs, targets: chosen(&targets, channels(&targets), kept.outputs.as_ref())? })
    }
}

/// What is left of a layer's channels, as indices of the original; `None` where all are.
struct KeptIndices {
    inputs: Option<Tensor>,
    outputs: Option<Tensor>,
}

fn kept_indices(graph: &Graph, cut: &Cut, consumer: &Consumer) -> Result<KeptIndices, Error> {
    let (parameter, form) = (&graph.parameters()[consumer.weight], &consumer.uses[0].form);
    let of_axis = |axis: usize| cut.kept.0.get(&parameter.name).and_then(|axes| axes.get(&axis));
    let per_group = |axis: usize| graph.value(parameter.value).shape[axis].fixed;
    // The second axis of a convolution counts inside a group.
    let channels = |axis: usize| -> Result<Option<Tensor>, Error> {
        let Some(indices) = of_axis(axis) else { return Ok(None) };
        let groups = if axis == 1 { form.groups() } else { 1 };
        let of_group = |group: i64| indices.iter().map(move |&index| group * per_group(axis) + i64::from(index));
        Ok(Some(Tensor::f_from_slice(&(0..groups).flat_map(of_group).collect::<Vec<i64>>())?))
    };
    let input_axis = form.input_axis();
    Ok(KeptIndices { inputs: channels(input_axis)?, outputs: channels(1 - input_axis)? })
}

fn chosen(tensor: &Tensor, axis: i64, indices: Option<&Tensor>) -> Result<Tensor, Error> {
    match indices {
        Some(indices) => Ok(tensor.f_index_select(axis, &indices.f_to(tensor.device())?)?),
        None => Ok(tensor.shallow_clone()),
    }
}

/// The new weights, and where they go; `None` where the layer is left as it is.
fn fitted(
    consumer: &Consumer,
    tensors: &[Tensor],
    examples: &[Examples],
    seed: u64,
) -> Result<Option<Vec<(usize, Tensor)>>, Error> {
    let weight = &tensors[consumer.weight];
    let (kind, shape) = (weight.f_kind()?, weight.size());
    let form = &consumer.uses[0].form;
    let (columns, _) = layout::size(form, &shape);
    if columns == 0 || !weights::is_float(kind) {
        return Ok(None);
    }
    let (intercepts, mut places) = places(consumer, tensors, examples, columns, seed)?;
    let mut matrices = Vec::new();
    let mut shifts: Vec<Vec<Tensor>> = places.iter().map(|_| Vec::new()).collect();
    for group in 0..form.groups() {
        let matrix = layout::matrix(form, &weight.f_to_kind(Kind::Float)?, group)?;
        let Some(fit) = (Problem { group, matrix: &matrix, widest: WIDEST }).solve(&mut places)? else {
            return Ok(None);
        };
        matrices.push(fit.matrix);
        shifts.iter_mut().zip(fit.shifts).for_each(|(of_place, shift)| of_place.push(shift));
    }
    let matrix = layout::weight(form, &shape, &matrices)?.f_to_kind(kind)?;
    let mut changes = vec![(consumer.weight, like(&matrix, weight)?)];
    for (intercept, shifts) in intercepts.into_iter().zip(shifts) {
        let shift = Tensor::f_cat(&shifts, 0)?;
        match intercept {
            Intercept::Bias(index) => changes.push((index, shifted(&tensors[index], &shift)?)),
            Intercept::RunningMean(index) => changes.push((index, shifted(&tensors[index], &shift.f_neg()?)?)),
            Intercept::None => {}
        }
    }
    let is_finite =
        |tensor: &Tensor| -> Result<bool, Error> { Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0) };
    for (_, tensor) in &changes {
        if !is_finite(tensor)? {
            return Ok(None);
        }
    }
    Ok(Some(changes))
}

/// The rows of all uses, by where the shift of their results goes.
fn places<'a>(
    consumer: &'a Consumer,
    tensors: &[Tensor],
    examples: &[Examples],
    columns: i64,
    seed: u64,
) -> Result<(Vec<Intercept>, Vec<Place<'a>>), Error> {
    let most = (rows::wanted(columns) / consumer.uses.len() as i64).max(1);
    let mut places: BTreeMap<Intercept, Place> = BTreeMap::new();
    for (found, Examples { inputs, targets }) in consumer.uses.iter().zip(examples) {
        let is_centred = found.intercept != Intercept::None;
        let place = places.entry(found.intercept).or_insert_with(|| Place { is_centred, parts: Vec::new() });
        let bias = found.bias.map(|index| tensors[index].f_to_kind(Kind::Float)).transpose()?;
        place.parts.push(Part { rows: Rows::of(&found.form, inputs, targets, most, seed)?, bias });
    }
    Ok(places.into_iter().unzip())
}

fn shifted(tensor: &Tensor, shift: &Tensor) -> Result<Tensor, Error> {
    Ok(tensor.f_add(&shift.f_to_kind(tensor.f_kind()?)?.f_to(tensor.device())?)?)
}

/// In the layout that the old weights had.
fn like(matrix: &Tensor, weight: &Tensor) -> Result<Tensor, Error> {
    let mut new = weight.f_empty_like()?;
    new.f_copy_(matrix)?;
    Ok(new)
}

#[cfg(test)]
mod tests;
