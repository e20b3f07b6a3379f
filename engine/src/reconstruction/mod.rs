//! Repair of a cut network in closed form, before any step of training: every layer that lost inputs is fitted anew to what it gave in the
//! original, on a few hundred samples without labels.
//!
//! In program order, so that each layer is fitted on the inputs that the repaired layers before it give: with X its inputs in the cut network
//! and Y what the original's layer gives at the kept channels, the change of its weights is argmin ‖Y − X (W + Δ)‖² + λ ‖Δ‖², over centred
//! X and Y; what is left of the means goes into the bias or off the running mean of the batch norm behind it. Batch norm
//! statistics stay the original's. The idea is that of He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks",
//! ICCV 2017 (arXiv 1707.06168); the ridge pulls towards the cut weights and not towards zero.
//!
//! Both networks run once, piece by piece from layer to layer, on one batch that is as large as [`ELEMENTS`] allows.

mod layout;
mod least_squares;
mod rows;
mod walk;

use secateur_core::graph::Graph;
use secateur_core::operator::layer_by_layer;
use secateur_core::surgery::{Consumer, Cut, Form, Goal, Intercept, consumers};
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::network::{Network, weights};
use crate::process::memory;

use least_squares::{Part, Place, Problem};
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
    /// Layers that lost inputs and were left: without a solution in numbers.
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
    let graph = &layer_by_layer(original.graph());
    let consumers = consumers(graph, cut);
    let elements = ELEMENTS.min((memory::share() / 2) as i64);
    let samples =
        split.affordable(most_samples).min(split.count()).min((elements / (2 * walk::peak(graph)?).max(1)).max(1));
    if consumers.is_empty() || samples < 2 {
        return Ok((network, Reconstruction { layers: 0, left: 0, samples }));
    }
    let order = Tensor::f_cat(&split.shuffled(samples, seed, 0)?[..1], 0)?;
    let inputs = split.select(&order)?;
    let (cut_graph, tensors) = network.into_parts();
    let mut tensors = weights::for_each_owned(&cut_graph, |index, _| Ok(tensors[index].shallow_clone()))?;
    let cut_layers = layer_by_layer(&cut_graph);
    let mut walks = (Walk::new(graph, &inputs), Walk::new(&cut_layers, &inputs));
    let mut found = Reconstruction { layers: 0, left: 0, samples };
    let mut generator = seed;
    for consumer in &consumers {
        let node = &graph.nodes()[consumer.node];
        let output = node.outputs[0];
        // A recurrent layer has several problems, of which each needs the same.
        let needed = [node.inputs(), vec![output]].concat();
        walks.0.to(consumer.node + 1, &needed, original.weights())?;
        walks.1.to(consumer.node, &needed, &tensors)?;
        let kept = kept_indices(graph, cut, consumer)?;
        generator = generator.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let there = original.weights()[consumer.weight].f_to_kind(Kind::Float)?;
        let product = |inputs: &Tensor| inputs.f_to_kind(Kind::Float)?.f_matmul(&there.f_transpose(0, 1)?);
        let (inputs, targets) = match consumer.goal {
            Goal::Output => (walks.1.value(consumer.input)?.shallow_clone(), walks.0.value(output)?.shallow_clone()),
            Goal::Product => (walks.1.value(consumer.input)?.shallow_clone(), product(walks.0.value(consumer.input)?)?),
            Goal::States { direction, directions } => {
                let states = walks.0.value(output)?;
                let units = states.size().last().copied().unwrap_or(0) / directions as i64;
                let states = states.f_narrow(-1, direction as i64 * units, units)?;
                (chosen(&states, states.dim() as i64 - 1, kept.inputs.as_ref())?, product(&states)?)
            }
        };
        let axis = if matches!(consumer.form, Form::Linear { .. }) { targets.dim() as i64 - 1 } else { 1 };
        let (inputs, targets) = (&inputs, chosen(&targets, axis, kept.outputs.as_ref())?);
        match fitted(consumer, &tensors, inputs, &targets, generator)? {
            Some(changes) => {
                for (index, tensor) in changes {
                    tensors[index] = tensor;
                }
                found.layers += 1;
            }
            None => found.left += 1,
        }
    }
    let tensors = weights::for_each_owned(&cut_graph, |index, _| Ok(tensors[index].shallow_clone()))?;
    Ok((Network::new(cut_graph, tensors)?, found))
}

/// What is left of a layer's channels, as indices of the original; `None` where all are.
struct KeptIndices {
    inputs: Option<Tensor>,
    outputs: Option<Tensor>,
}

fn kept_indices(graph: &Graph, cut: &Cut, consumer: &Consumer) -> Result<KeptIndices, Error> {
    let parameter = &graph.parameters()[consumer.weight];
    let of_axis = |axis: usize| cut.kept.0.get(&parameter.name).and_then(|axes| axes.get(&axis));
    let per_group = |axis: usize| graph.value(parameter.value).shape[axis].fixed;
    let input_axis = consumer.form.input_axis();
    let output_axis = 1 - input_axis;
    // The second axis of a convolution counts inside a group.
    let channels = |axis: usize| -> Result<Option<Tensor>, Error> {
        let Some(indices) = of_axis(axis) else { return Ok(None) };
        let groups = if axis == 1 { consumer.form.groups() } else { 1 };
        let of_group = |group: i64| indices.iter().map(move |&index| group * per_group(axis) + i64::from(index));
        Ok(Some(Tensor::f_from_slice(&(0..groups).flat_map(of_group).collect::<Vec<i64>>())?))
    };
    Ok(KeptIndices { inputs: channels(input_axis)?, outputs: channels(output_axis)? })
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
    inputs: &Tensor,
    targets: &Tensor,
    seed: u64,
) -> Result<Option<Vec<(usize, Tensor)>>, Error> {
    let weight = &tensors[consumer.weight];
    let kind = weight.f_kind()?;
    if !weights::is_float(kind) {
        return Ok(None);
    }
    let shape = weight.size();
    let groups = consumer.form.groups();
    let (columns, _) = layout::size(&consumer.form, &shape);
    if columns == 0 {
        return Ok(None);
    }
    let bias = match consumer.intercept {
        // A product of a recurrent layer is fitted without what is added to it.
        Intercept::Bias(index) if consumer.goal == Goal::Output => Some(tensors[index].f_to_kind(Kind::Float)?),
        Intercept::Bias(_) | Intercept::RunningMean(_) | Intercept::None => None,
    };
    let rows = Rows::of(&consumer.form, inputs, targets, rows::wanted(columns), seed)?;
    let is_centred = consumer.intercept != Intercept::None;
    let mut places = [Place { is_centred, parts: vec![Part { rows, bias }] }];
    let (mut matrices, mut shifts) = (Vec::new(), Vec::new());
    for group in 0..groups {
        let matrix = layout::matrix(&consumer.form, &weight.f_to_kind(Kind::Float)?, group)?;
        let Some(fit) = (Problem { group, matrix: &matrix, widest: WIDEST }).solve(&mut places)? else {
            return Ok(None);
        };
        matrices.push(fit.matrix);
        shifts.extend(fit.shifts);
    }
    let matrix = layout::weight(&consumer.form, &shape, &matrices)?.f_to_kind(kind)?;
    let mut changes = vec![(consumer.weight, like(&matrix, weight)?)];
    let shift = Tensor::f_cat(&shifts, 0)?;
    match consumer.intercept {
        Intercept::Bias(index) => changes.push((index, shifted(&tensors[index], &shift)?)),
        Intercept::RunningMean(index) => changes.push((index, shifted(&tensors[index], &shift.f_neg()?)?)),
        Intercept::None => {}
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
