//! A ridge regression whose sums are taken in float64 while the rows go by.

use tch::{Kind, Tensor};

use super::rows::Rows;
use crate::error::Error;

/// The ridge, in means of the Gram matrix's diagonal; ten times as much for every time that it has no Cholesky factor.
const RIDGE: f64 = 1e-3;
const TRIES: i32 = 4;

pub(super) struct Fit {
    /// `[columns, outputs]`.
    pub(super) matrix: Tensor,
    /// What has to be added to the results.
    pub(super) shift: Tensor,
}

/// Changes a matrix so that rows times it, plus a bias, come near to the targets. `None` where the problem has no solution in numbers.
pub(super) fn fit(
    rows: &mut Rows,
    group: i64,
    matrix: &Tensor,
    bias: Option<&Tensor>,
    is_centred: bool,
) -> Result<Option<Fit>, Error> {
    let mut sums: Option<Sums> = None;
    rows.each(group, |inputs, targets| {
        let mut residual = targets.f_sub(&inputs.f_matmul(matrix)?)?;
        if let Some(bias) = bias {
            residual = residual.f_sub(bias)?;
        }
        match &mut sums {
            Some(sums) => sums.add(inputs, &residual)?,
            None => sums = Some(Sums::start(inputs, &residual, is_centred)?),
        }
        Ok(())
    })?;
    match sums {
        Some(sums) => sums.solve(matrix, is_centred),
        None => Ok(None),
    }
}

/// Sums over the rows, from which an origin is taken off first, so that little is lost when the means are.
struct Sums {
    origin: (Tensor, Tensor),
    count: f64,
    inputs: Tensor,
    residuals: Tensor,
    gram: Tensor,
    cross: Tensor,
}

impl Sums {
    fn start(inputs: &Tensor, residuals: &Tensor, is_centred: bool) -> Result<Self, Error> {
        let origin = |tensor: &Tensor| -> Result<Tensor, Error> {
            let mean = tensor.f_mean_dim([0_i64].as_slice(), false, Kind::Float)?;
            Ok(if is_centred { mean } else { mean.f_zeros_like()? })
        };
        let (columns, outputs) = (inputs.size()[1], residuals.size()[1]);
        let zeros = |shape: &[i64]| Tensor::f_zeros(shape, (Kind::Double, inputs.device()));
        let mut sums = Self {
            origin: (origin(inputs)?, origin(residuals)?),
            count: 0.0,
            inputs: zeros(&[columns])?,
            residuals: zeros(&[outputs])?,
            gram: zeros(&[columns, columns])?,
            cross: zeros(&[columns, outputs])?,
        };
        sums.add(inputs, residuals)?;
        Ok(sums)
    }

    fn add(&mut self, inputs: &Tensor, residuals: &Tensor) -> Result<(), Error> {
        let (x, r) = (inputs.f_sub(&self.origin.0)?, residuals.f_sub(&self.origin.1)?);
        self.count += x.size()[0] as f64;
        let rows = [0_i64];
        let _ = self.inputs.f_add_(&x.f_sum_dim_intlist(rows.as_slice(), false, Kind::Double)?)?;
        let _ = self.residuals.f_add_(&r.f_sum_dim_intlist(rows.as_slice(), false, Kind::Double)?)?;
        let turned = x.f_transpose(0, 1)?;
        let _ = self.gram.f_add_(&turned.f_matmul(&x)?)?;
        let _ = self.cross.f_add_(&turned.f_matmul(&r)?)?;
        Ok(())
    }

    fn solve(self, matrix: &Tensor, is_centred: bool) -> Result<Option<Fit>, Error> {
        let count = self.count.max(1.0);
        let (mean_input, mean_residual) = (self.inputs.f_div_scalar(count)?, self.residuals.f_div_scalar(count)?);
        let (mut gram, mut cross) = (self.gram.f_div_scalar(count)?, self.cross.f_div_scalar(count)?);
        if is_centred {
            let column = mean_input.f_unsqueeze(1)?;
            gram = gram.f_sub(&column.f_matmul(&mean_input.f_unsqueeze(0)?)?)?;
            cross = cross.f_sub(&column.f_matmul(&mean_residual.f_unsqueeze(0)?)?)?;
        }
        let diagonal = gram.f_diagonal(0, 0, 1)?.f_mean(Kind::Double)?.f_double_value(&[])?;
        if !(diagonal.is_finite() && diagonal > 0.0) {
            return Ok(None);
        }
        let identity = Tensor::f_eye(gram.size()[0], (Kind::Double, gram.device()))?;
        for attempt in 0..TRIES {
            let ridge = RIDGE * 10.0_f64.powi(attempt) * diagonal;
            let (factor, failed) = gram.f_add(&identity.f_mul_scalar(ridge)?)?.f_linalg_cholesky_ex(false, false)?;
            if failed.f_int64_value(&[])? != 0 {
                continue;
            }
            let change = cross.f_cholesky_solve(&factor, false)?;
            let shift = if is_centred {
                let origin = self.origin.0.f_to_kind(Kind::Double)?.f_add(&mean_input)?;
                let moved = origin.f_unsqueeze(0)?.f_matmul(&change)?.f_squeeze_dim(0)?;
                self.origin.1.f_to_kind(Kind::Double)?.f_add(&mean_residual)?.f_sub(&moved)?
            } else {
                mean_residual.f_zeros_like()?
            };
            let matrix = matrix.f_to_kind(Kind::Double)?.f_add(&change)?.f_to_kind(Kind::Float)?;
            return Ok(Some(Fit { matrix, shift: shift.f_to_kind(Kind::Float)? }));
        }
        Ok(None)
    }
}
