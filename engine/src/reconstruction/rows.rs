//! The rows of a layer's least-squares problem: what it multiplies with its weights, and what should come out.

use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::surgery::Form;
use tch::{Kind, Tensor};

use crate::error::Error;

/// Rows for each column of the problem, and their bounds.
const ROWS_PER_COLUMN: i64 = 4;
const ROWS: (i64, i64) = (16_384, 65_536);

/// Samples whose windows are gathered at a time.
const SAMPLES: i64 = 32;

/// Rows of a matrix that are given at a time.
const CHUNK: i64 = 4096;

pub(super) struct Rows<'a> {
    source: Source<'a>,
    generator: ChaCha8Rng,
    seed: u64,
}

enum Source<'a> {
    /// `[rows, columns]` and `[rows, outputs]`.
    Matrix {
        inputs: Tensor,
        targets: Tensor,
    },
    Windows {
        inputs: Tensor,
        targets: &'a Tensor,
        form: Windows,
        places: i64,
    },
}

/// How windows lie on the padded input.
struct Windows {
    kernel: Vec<i64>,
    stride: Vec<i64>,
    dilation: Vec<i64>,
    groups: i64,
}

impl<'a> Rows<'a> {
    pub(super) fn of(
        form: &Form,
        weight: &[i64],
        inputs: &Tensor,
        targets: &'a Tensor,
        columns: i64,
        seed: u64,
    ) -> Result<Self, Error> {
        let wanted = (ROWS_PER_COLUMN * columns).clamp(ROWS.0, ROWS.1);
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let source = match form {
            Form::Linear { .. } => {
                let flat = |tensor: &Tensor| tensor.f_reshape([-1, tensor.size().last().copied().unwrap_or(1)]);
                let (mut inputs, mut targets) = (flat(inputs)?, flat(targets)?);
                let rows = inputs.size()[0];
                if rows > wanted {
                    let chosen: Vec<i64> = sample(&mut generator, rows as usize, wanted as usize)
                        .into_iter()
                        .map(|row| row as i64)
                        .collect();
                    let chosen = Tensor::f_from_slice(&chosen)?.f_to(inputs.device())?;
                    inputs = inputs.f_index_select(0, &chosen)?;
                    targets = targets.f_index_select(0, &chosen)?;
                }
                Source::Matrix { inputs, targets }
            }
            Form::Convolution { stride, padding, dilation, groups } => {
                let both_sides: Vec<i64> = padding.iter().rev().flat_map(|&size| [size, size]).collect();
                let padded = inputs.f_constant_pad_nd(&both_sides[..])?;
                let places: i64 = targets.size()[2..].iter().product();
                let samples = inputs.size()[0].max(1);
                let (stride, dilation) = (stride.clone(), dilation.clone());
                let form = Windows { kernel: weight[2..].to_vec(), stride, dilation, groups: *groups };
                let places = places.min((wanted + samples - 1) / samples);
                Source::Windows { inputs: padded, targets, form, places }
            }
        };
        Ok(Self { source, generator, seed })
    }

    /// Gives all rows of a group of channels, some at a time: inputs `[rows, columns]`, targets `[rows, outputs]`.
    pub(super) fn each(
        &mut self,
        group: i64,
        mut take: impl FnMut(&Tensor, &Tensor) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match &self.source {
            Source::Matrix { inputs, targets } => {
                let rows = inputs.size()[0];
                for start in (0..rows).step_by(CHUNK as usize) {
                    let count = CHUNK.min(rows - start);
                    let part = |tensor: &Tensor| tensor.f_narrow(0, start, count)?.f_to_kind(Kind::Float);
                    take(&part(inputs)?, &part(targets)?)?;
                }
            }
            Source::Windows { inputs, targets, form, places } => {
                // The same places for every group and on every pass.
                self.generator = ChaCha8Rng::seed_from_u64(self.seed);
                let samples = inputs.size()[0];
                for start in (0..samples).step_by(SAMPLES as usize) {
                    let count = SAMPLES.min(samples - start);
                    let part = |tensor: &Tensor| tensor.f_narrow(0, start, count)?.f_to_kind(Kind::Float);
                    let (inputs, targets) = (part(inputs)?, part(targets)?);
                    let positions = positions(&mut self.generator, &targets.size()[2..], *places);
                    let own = |tensor: &Tensor| {
                        let channels = tensor.size()[1] / form.groups;
                        tensor.f_narrow(1, group * channels, channels)
                    };
                    take(&form.gather(&own(&inputs)?, &positions)?, &at(&own(&targets)?, &positions)?)?;
                }
            }
        }
        Ok(())
    }
}

/// Places of a grid, each once where there are as many, in coordinates.
fn positions(generator: &mut ChaCha8Rng, grid: &[i64], count: i64) -> Vec<Vec<i64>> {
    let all: i64 = grid.iter().product();
    let chosen: Vec<i64> = if count >= all {
        (0..all).collect()
    } else if all < 1 << 20 {
        sample(generator, all as usize, count as usize).into_iter().map(|place| place as i64).collect()
    } else {
        (0..count).map(|_| generator.random_range(0..all)).collect()
    };
    let coordinates = |mut place: i64| {
        let mut found: Vec<i64> = grid
            .iter()
            .rev()
            .map(|&size| {
                let at = place % size;
                place /= size;
                at
            })
            .collect();
        found.reverse();
        found
    };
    chosen.into_iter().map(coordinates).collect()
}

impl Windows {
    /// The windows `[N, C, ...]` at these places of the output, `[N · places, C · kernel]`.
    fn gather(&self, padded: &Tensor, positions: &[Vec<i64>]) -> Result<Tensor, Error> {
        let offsets = grid(&self.kernel);
        let places = |offset: &Vec<i64>| -> Vec<Vec<i64>> {
            let place = |position: &Vec<i64>| {
                let along = |dim: usize| position[dim] * self.stride[dim] + offset[dim] * self.dilation[dim];
                (0..position.len()).map(along).collect()
            };
            positions.iter().map(place).collect()
        };
        let size = padded.size();
        let flat: Vec<i64> = offsets.iter().flat_map(places).map(|place| flat_index(&place, &size[2..])).collect();
        let index = Tensor::f_from_slice(&flat)?.f_to(padded.device())?;
        let (samples, channels) = (size[0], size[1]);
        let (kernel, count) = (offsets.len() as i64, positions.len() as i64);
        let values = padded.f_contiguous()?.f_view([samples, channels, -1])?.f_index_select(2, &index)?;
        let values = values.f_view([samples, channels, kernel, count])?.f_permute([0, 3, 1, 2])?;
        Ok(values.f_reshape([samples * count, channels * kernel])?)
    }
}

/// What stands at these places, `[N · places, C]`.
fn at(tensor: &Tensor, positions: &[Vec<i64>]) -> Result<Tensor, Error> {
    let size = tensor.size();
    let flat: Vec<i64> = positions.iter().map(|place| flat_index(place, &size[2..])).collect();
    let index = Tensor::f_from_slice(&flat)?.f_to(tensor.device())?;
    let values = tensor.f_contiguous()?.f_view([size[0], size[1], -1])?.f_index_select(2, &index)?;
    Ok(values.f_permute([0, 2, 1])?.f_reshape([-1, size[1]])?)
}

/// All places of a grid in memory order.
fn grid(sizes: &[i64]) -> Vec<Vec<i64>> {
    sizes.iter().fold(vec![Vec::new()], |places, &size| {
        places.into_iter().flat_map(|place| (0..size).map(move |at| [&place[..], &[at]].concat())).collect()
    })
}

fn flat_index(place: &[i64], sizes: &[i64]) -> i64 {
    place.iter().zip(sizes).fold(0, |index, (&at, &size)| index * size + at)
}
