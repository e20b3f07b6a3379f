//! A ridge regression with more columns than a Gram matrix may have.
//!
//! Conjugate gradients, which need the rows once a step and never the products of all columns with each other. What is kept of these are
//! square blocks along the diagonal, as many elements as one Gram matrix at its widest; their factors are the preconditioner.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::{Fit, Part, Place, Problem, ridge_factors};
use crate::error::Error;

/// Steps at the most.
const STEPS: usize = 16;

/// It ends where what is left of the right side is a smaller share than this, in the norm of the preconditioner.
const ENOUGH: f64 = 1e-3;

/// `None` where there is no solution in numbers.
pub(super) fn solve(problem: &Problem, places: &mut [Place]) -> Result<Option<Fit>, Error> {
    let columns = problem.matrix.size()[0];
    let blocks = blocks(columns, (problem.widest.saturating_mul(problem.widest) / columns).max(1));
    let (mut grams, mut crosses) = (Vec::new(), Vec::new());
    let mut means: Vec<(Vec<Tensor>, Tensor)> = Vec::new();
    for block in &blocks {
        let Some(moments) = problem.moments(places, block)? else { return Ok(None) };
        for (place, (mean_input, mean_residual)) in moments.means.into_iter().enumerate() {
            match means.get_mut(place) {
                Some((of_blocks, _)) => of_blocks.push(mean_input),
                None => means.push((vec![mean_input], mean_residual)),
            }
        }
        grams.push(moments.gram);
        crosses.push(moments.cross);
    }
    let means = means.into_iter().map(|(of_blocks, residual)| Ok((Tensor::f_cat(&of_blocks, 0)?, residual)));
    let means: Vec<(Tensor, Tensor)> = means.collect::<Result<_, Error>>()?;
    let traces = grams.iter().map(|gram| Ok(gram.f_trace()?.f_double_value(&[])?));
    let trace: f64 = traces.sum::<Result<f64, Error>>()?;
    let Some(factors) = ridge_factors(&grams, trace / columns as f64)? else { return Ok(None) };
    drop(grams);

    let precondition = |tensor: &Tensor| -> Result<Tensor, Error> {
        let of_block = |(block, factor): (&Range<i64>, &Tensor)| {
            tensor.f_narrow(0, block.start, block.end - block.start)?.f_cholesky_solve(factor, false)
        };
        let parts: Vec<Tensor> = blocks.iter().zip(&factors.parts).map(of_block).collect::<Result<_, _>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    };
    let mut left = Tensor::f_cat(&crosses, 0)?;
    let mut change = left.f_zeros_like()?;
    let mut direction = precondition(&left)?;
    let mut size = by_output(&left, &direction)?;
    let enough = size.f_sum(Kind::Double)?.f_double_value(&[])? * ENOUGH * ENOUGH;
    for _ in 0..STEPS {
        let product =
            product(problem.group, places, &means, &direction)?.f_add(&direction.f_mul_scalar(factors.ridge)?)?;
        let step = ratio(&size, &by_output(&direction, &product)?)?;
        let _ = change.f_add_(&direction.f_mul(&step)?)?;
        let _ = left.f_sub_(&product.f_mul(&step)?)?;
        let preconditioned = precondition(&left)?;
        let next = by_output(&left, &preconditioned)?;
        direction = preconditioned.f_add(&direction.f_mul(&ratio(&next, &size)?)?)?;
        size = next;
        if size.f_sum(Kind::Double)?.f_double_value(&[])? <= enough {
            break;
        }
    }
    Fit::of(problem.matrix, &change, &means).map(Some)
}

/// The products of all columns with each other, about their means, times a matrix.
fn product(group: i64, places: &mut [Place], means: &[(Tensor, Tensor)], matrix: &Tensor) -> Result<Tensor, Error> {
    let mut sum = matrix.f_zeros_like()?;
    let matrix = matrix.f_to_kind(Kind::Float)?;
    for (place, (mean, _)) in places.iter_mut().zip(means) {
        let mean = mean.f_to_kind(Kind::Float)?;
        for Part { rows, .. } in &mut place.parts {
            rows.each(group, |inputs, _| {
                let inputs = inputs.f_sub(&mean)?;
                let _ = sum.f_add_(&inputs.f_transpose(0, 1)?.f_matmul(&inputs.f_matmul(&matrix)?)?)?;
                Ok(())
            })?;
        }
    }
    Ok(sum)
}

/// The inner products of two matrices' columns: every output is a problem of its own.
fn by_output(one: &Tensor, other: &Tensor) -> Result<Tensor, Error> {
    Ok(one.f_mul(other)?.f_sum_dim_intlist([0_i64].as_slice(), false, Kind::Double)?)
}

/// Nothing where there is nothing left.
fn ratio(one: &Tensor, other: &Tensor) -> Result<Tensor, Error> {
    Ok(one.f_div(other)?.f_nan_to_num(0.0, 0.0, 0.0)?)
}

/// Columns in parts that are about as large and no larger than `widest`.
fn blocks(columns: i64, widest: i64) -> Vec<Range<i64>> {
    let count = (columns + widest - 1) / widest;
    (0..count).map(|number| number * columns / count..(number + 1) * columns / count).collect()
}
