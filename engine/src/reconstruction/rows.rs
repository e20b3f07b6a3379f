//! The rows of a layer's least-squares problem: what it multiplies with its weights, and what should come out.

use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::surgery::{Form, Windows};
use tch::{Kind, Tensor};

use crate::error::Error;

/// Rows for each column of the problem, and their bounds.
const ROWS_PER_COLUMN: i64 = 4;
const ROWS: (i64, i64) = (16_384, 65_536);

/// Samples whose windows are gathered at a time.
const SAMPLES: i64 = 32;

/// Rows of a matrix that are given at a time.
const CHUNK: i64 = 4096;

/// How many rows a problem of so many columns should have.
pub(super) fn wanted(columns: i64) -> i64 {
    (ROWS_PER_COLUMN * columns).clamp(ROWS.0, ROWS.1)
}

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
        targets: Tensor,
        form: &'a Form,
        windows: &'a Windows,
        places: i64,
    },
}

impl<'a> Rows<'a> {
    /// So many at the most.
    pub(super) fn of(form: &'a Form, inputs: &Tensor, targets: &Tensor, most: i64, seed: u64) -> Result<Self, Error> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let source = match form {
            Form::Linear { .. } => {
                let flat = |tensor: &Tensor| tensor.f_reshape([-1, tensor.size().last().copied().unwrap_or(1)]);
                let (mut inputs, mut targets) = (flat(inputs)?, flat(targets)?);
                let rows = inputs.size()[0];
                if rows > most {
                    let chosen: Vec<i64> = sample(&mut generator, rows as usize, most as usize)
                        .into_iter()
                        .map(|row| row as i64)
                        .collect();
                    let chosen = Tensor::f_from_slice(&chosen)?.f_to(inputs.device())?;
                    inputs = inputs.f_index_select(0, &chosen)?;
                    targets = targets.f_index_select(0, &chosen)?;
                }
                Source::Matrix { inputs, targets }
            }
            Form::Convolution(windows) | Form::TransposedConvolution(windows) => {
                let places: i64 = targets.size()[2..].iter().product();
                let samples = inputs.size()[0].max(1);
                let places = places.min((most + samples - 1) / samples);
                Source::Windows {
                    inputs: inputs.shallow_clone(),
                    targets: targets.shallow_clone(),
                    form,
                    windows,
                    places,
                }
            }
        };
        Ok(Self { source, generator, seed })
    }

    /// How many there are.
    pub(super) fn count(&self) -> i64 {
        match &self.source {
            Source::Matrix { inputs, .. } => inputs.size()[0],
            Source::Windows { inputs, places, .. } => inputs.size()[0] * places,
        }
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
            Source::Windows { inputs, targets, form, windows, places } => {
                // The same places for every group and on every pass.
                self.generator = ChaCha8Rng::seed_from_u64(self.seed);
                let samples = inputs.size()[0];
                for start in (0..samples).step_by(SAMPLES as usize) {
                    let count = SAMPLES.min(samples - start);
                    let part = |tensor: &Tensor| tensor.f_narrow(0, start, count)?.f_to_kind(Kind::Float);
                    let (inputs, targets) = (part(inputs)?, part(targets)?);
                    let positions = positions(&mut self.generator, &targets.size()[2..], *places);
                    let own = |tensor: &Tensor| {
                        let channels = tensor.size()[1] / windows.groups;
                        tensor.f_narrow(1, group * channels, channels)
                    };
                    take(&gathered(form, windows, &own(&inputs)?, &positions)?, &at(&own(&targets)?, &positions)?)?;
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

/// What the kernel meets at these places of the output, of an input `[N, C, ...]`: `[N · places, C · kernel]`.
fn gathered(form: &Form, windows: &Windows, input: &Tensor, positions: &[Vec<i64>]) -> Result<Tensor, Error> {
    let size = input.size();
    let (samples, channels, grid_size) = (size[0], size[1], &size[2..]);
    // Behind the last place stands a zero for all that lie outside.
    let outside: i64 = grid_size.iter().product();
    let offsets = grid(&windows.kernel);
    let met = |offset: &Vec<i64>, position: &Vec<i64>| -> Option<i64> {
        let along = |dim: usize| met_along(form, windows, dim, position[dim], offset[dim]);
        let place: Vec<i64> = (0..position.len()).map(along).collect::<Option<_>>()?;
        let is_inside = place.iter().zip(grid_size).all(|(at, size)| (0..*size).contains(at));
        is_inside.then(|| flat_index(&place, grid_size))
    };
    let index: Vec<i64> = offsets
        .iter()
        .flat_map(|offset| positions.iter().map(move |position| met(offset, position).unwrap_or(outside)))
        .collect();
    let index = Tensor::f_from_slice(&index)?.f_to(input.device())?;
    let (kernel, count) = (offsets.len() as i64, positions.len() as i64);
    let values = input.f_reshape([samples, channels, outside])?.f_constant_pad_nd([0, 1])?.f_index_select(2, &index)?;
    let values = values.f_view([samples, channels, kernel, count])?.f_permute([0, 3, 1, 2])?;
    Ok(values.f_reshape([samples * count, channels * kernel])?)
}

/// Where along a dimension of the input the kernel's entry at `offset` reads for the output at `position`.
fn met_along(form: &Form, windows: &Windows, dim: usize, position: i64, offset: i64) -> Option<i64> {
    let (stride, reach) = (windows.stride[dim], offset * windows.dilation[dim] - windows.padding[dim]);
    match form {
        Form::TransposedConvolution(_) => ((position - reach) % stride == 0).then(|| (position - reach) / stride),
        Form::Convolution(_) | Form::Linear { .. } => Some(position * stride + reach),
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
