//! A layer that reads a group, as channels of the group are taken from it.
//!
//! From the second moments H of a layer's inputs in the original, on a few hundred samples, follows what is left of its outputs' variance
//! once a channel is gone and the rest has taken over what it can: wᵀ [H⁻¹]⁻¹ w over the rows of that channel, w being its weights
//! as they are by then. After that, weights and H⁻¹ are carried on to what is left. This is the optimal brain surgeon (Hassibi and
//! Stork, NIPS 1992) on structures, as in ZipLM (Kurtic, Frantar and Alistarh, NeurIPS 2023, arXiv 2302.04089).

use secateur_core::graph::{Graph, ValueId};
use secateur_core::group::{Group, Member, Owner};
use secateur_core::surgery::{Consumer, Form, Use};
use tch::{Kind, Tensor};

use super::super::least_squares::{Moments, ridge_factors};
use super::super::walk::Walk;
use super::super::{Examples, WIDEST, layout, part, places};
use crate::error::Error;
use crate::network::weights;

/// A layer of the original and the columns by which it reads a group.
pub(super) struct Layer<'a> {
    graph: &'a Graph,
    tensors: &'a [Tensor],
    consumer: &'a Consumer,
    /// The channels on the axis of the weight.
    member: &'a Member,
    channels: usize,
    columns: i64,
}

impl<'a> Layer<'a> {
    /// `None` where it is not fitted, or not at once.
    pub(super) fn of(
        graph: &'a Graph,
        tensors: &'a [Tensor],
        group: &'a Group,
        consumer: &'a Consumer,
    ) -> Option<Self> {
        let weight = &tensors[consumer.weight];
        let form = &consumer.uses[0].form;
        let (columns, _) = layout::size(form, &weight.size());
        if !(2..=WIDEST).contains(&columns) || !weight.f_kind().is_ok_and(weights::is_float) {
            return None;
        }
        let read = Owner::Parameter { name: graph.parameters()[consumer.weight].name.clone(), axis: form.input_axis() };
        let member = group.members.iter().find(|member| member.owner == read)?;
        Some(Self { graph, tensors, consumer, member, channels: group.channels(), columns })
    }

    fn weight(&self) -> &Tensor {
        &self.tensors[self.consumer.weight]
    }

    fn form(&self) -> &Form {
        &self.consumer.uses[0].form
    }

    /// Groups of channels that do not meet in it: each is a reader.
    pub(super) fn groups(&self) -> i64 {
        self.form().groups()
    }

    /// Columns of each of these.
    pub(super) fn columns(&self) -> i64 {
        self.columns
    }

    /// What has to be known of the original; of the output of a convolution only the size is used.
    pub(super) fn reads(&self) -> Vec<ValueId> {
        let of_use = |found: &Use| {
            let output = !matches!(found.form, Form::Linear { .. });
            [found.input].into_iter().chain(output.then(|| self.output(found)))
        };
        self.consumer.uses.iter().flat_map(of_use).collect()
    }

    fn output(&self, found: &Use) -> ValueId {
        self.graph.nodes()[found.node].outputs[0]
    }

    /// One of its groups as a reader; `None` where it does not read all channels alike, or its outputs never change.
    pub(super) fn reader(&self, walk: &Walk, group: i64, seed: u64) -> Result<Option<Reader>, Error> {
        let Some(blocks) = self.blocks(group)? else { return Ok(None) };
        let examples = |found: &Use| -> Result<Examples, Error> {
            let inputs = part(walk.value(found.input)?, found)?;
            let targets = match found.form {
                Form::Linear { .. } => inputs.shallow_clone(),
                Form::Convolution(_) | Form::TransposedConvolution(_) => {
                    walk.value(self.output(found))?.shallow_clone()
                }
            };
            Ok(Examples { inputs, targets })
        };
        let examples: Vec<Examples> = self.consumer.uses.iter().map(examples).collect::<Result<_, _>>()?;
        let (_, mut places) = places(self.consumer, self.tensors, &examples, self.columns, seed)?;
        let Some(Moments { gram, .. }) = Moments::of_inputs(&mut places, group)? else { return Ok(None) };
        let matrix = layout::matrix(self.form(), &self.weight().f_to_kind(Kind::Float)?, group)?;
        Reader::new(&gram, matrix.f_to_kind(Kind::Double)?, blocks)
    }

    /// The columns of each channel in one of its groups; `None` where channels do not all have as many.
    fn blocks(&self, group: i64) -> Result<Option<Tensor>, Error> {
        let shape = self.weight().size();
        let (kernel, first, inputs) = match self.form() {
            Form::Linear { .. } => (1, 0, i64::MAX),
            // The axis counts inside a group.
            Form::Convolution(_) => (shape[2..].iter().product::<i64>(), 0, i64::MAX),
            Form::TransposedConvolution(windows) => {
                let inputs = shape[0] / windows.groups;
                (shape[2..].iter().product(), group * inputs, inputs)
            }
        };
        let mut all = Vec::new();
        let mut size = None;
        for channel in 0..self.channels {
            let indices = self.member.of_channel(channel).iter().map(|&index| i64::from(index) - first);
            let own = indices.filter(|at| (0..inputs).contains(at));
            let columns: Vec<i64> = own.flat_map(|at| at * kernel..(at + 1) * kernel).collect();
            if columns.is_empty() || size.is_some_and(|size| size != columns.len()) {
                return Ok(None);
            }
            size = Some(columns.len());
            all.extend(columns);
        }
        let size = size.unwrap_or(0) as i64;
        Ok(Some(Tensor::f_from_slice(&all)?.f_view([self.channels as i64, size])?.f_to(self.weight().device())?))
    }
}

/// What is left of a layer, or of one of its groups of channels.
pub(super) struct Reader {
    /// Of the second moments of its inputs, with a ridge: `[columns, columns]`, float64.
    inverse: Tensor,
    /// `[columns, outputs]`, float64.
    matrix: Tensor,
    /// The columns of each channel: `[channels, columns of one]`.
    blocks: Tensor,
    /// What the ridge alone makes a channel cost, which is none of its outputs' variance: `[channels]`.
    excess: Tensor,
    /// The variance of its outputs, before anything is gone.
    spread: f64,
}

impl Reader {
    fn new(gram: &Tensor, matrix: Tensor, blocks: Tensor) -> Result<Option<Self>, Error> {
        let spread = matrix.f_mul(&gram.f_matmul(&matrix)?)?.f_sum(Kind::Double)?.f_double_value(&[])?;
        if !(spread.is_finite() && spread > 0.0) {
            return Ok(None);
        }
        let diagonal = gram.f_diagonal(0, 0, 1)?.f_mean(Kind::Double)?.f_double_value(&[])?;
        let Some(factors) = ridge_factors(&[gram.shallow_clone()], diagonal)? else { return Ok(None) };
        let inverse = factors.parts[0].f_cholesky_inverse(false)?;
        let of_column = summed(&matrix.f_square()?, &[1])?;
        let excess = summed(&of_column.f_index(&[Some(blocks.shallow_clone())])?, &[1])?;
        Ok(Some(Self { inverse, matrix, blocks, excess: excess.f_mul_scalar(factors.ridge)?, spread }))
    }

    /// What each of these channels would cost if it were the next: `[channels]`.
    pub(super) fn costs(&self, channels: &[u32]) -> Result<Tensor, Error> {
        let channels = self.indices(channels)?;
        let blocks = self.blocks.f_index_select(0, &channels)?;
        let (count, size, outputs) = (blocks.size()[0], blocks.size()[1], self.matrix.size()[1]);
        let rows = self.matrix.f_index_select(0, &blocks.f_reshape([-1])?)?.f_view([count, size, outputs])?;
        let own = self.inverse.f_index(&[Some(blocks.f_unsqueeze(2)?), Some(blocks.f_unsqueeze(1)?)])?;
        let (factor, _) = own.f_linalg_cholesky_ex(false, false)?;
        let whitened = factor.f_linalg_solve_triangular(&rows, false, true, false)?;
        let cost = summed(&whitened.f_square()?, &[1, 2])?.f_sub(&self.excess.f_index_select(0, &channels)?)?;
        Ok(cost.f_clamp_min(0.0)?.f_div_scalar(self.spread)?.f_nan_to_num(f64::MAX, f64::MAX, 0.0)?)
    }

    /// Takes channels out; returns what they cost together.
    pub(super) fn remove(&mut self, channels: &[u32]) -> Result<f64, Error> {
        let channels = self.indices(channels)?;
        let columns = self.blocks.f_index_select(0, &channels)?.f_reshape([-1])?;
        let across = self.inverse.f_index_select(1, &columns)?;
        let rows = self.matrix.f_index_select(0, &columns)?;
        let (factor, _) = across.f_index_select(0, &columns)?.f_linalg_cholesky_ex(false, false)?;
        let solved = rows.f_cholesky_solve(&factor, false)?;
        let excess = self.excess.f_index_select(0, &channels)?.f_sum(Kind::Double)?;
        let cost = rows.f_mul(&solved)?.f_sum(Kind::Double)?.f_sub(&excess)?.f_double_value(&[])?;
        let _ = self.matrix.f_sub_(&across.f_matmul(&solved)?)?;
        let turned = across.f_transpose(0, 1)?.f_contiguous()?;
        let _ = self.inverse.f_sub_(&across.f_matmul(&turned.f_cholesky_solve(&factor, false)?)?)?;
        Ok(if cost.is_finite() { cost.max(0.0) / self.spread } else { f64::MAX })
    }

    fn indices(&self, channels: &[u32]) -> Result<Tensor, Error> {
        let channels: Vec<i64> = channels.iter().map(|&channel| i64::from(channel)).collect();
        Ok(Tensor::f_from_slice(&channels)?.f_to(self.blocks.device())?)
    }
}

fn summed(tensor: &Tensor, dims: &[i64]) -> Result<Tensor, Error> {
    Ok(tensor.f_sum_dim_intlist(dims, false, Kind::Double)?)
}
