//! A ridge regression over rows that go by, of which neither the inputs nor their Gram matrix need fit into memory.
//!
//! What is sought is a change of the matrix. With fewer rows than columns it is a combination of the rows, found from the products of rows
//! (the dual problem); else it is found from the products of columns, and where there are too many of these, by conjugate gradients
//! ([`blocks`]). Sums are taken in float64.

mod blocks;

use std::ops::Range;

use tch::{Kind, Tensor};

use super::rows::Rows;
use crate::error::Error;

/// The ridge, in means of the Gram matrix's diagonal; ten times as much for every time that it has no Cholesky factor.
const RIDGE: f64 = 1e-3;
const TRIES: i32 = 4;

pub(super) struct Fit {
    /// `[columns, outputs]`.
    pub(super) matrix: Tensor,
    /// What has to be added to the results, for each place.
    pub(super) shifts: Vec<Tensor>,
}

/// Rows whose results are shifted together.
pub(super) struct Place<'a> {
    /// Whether they can be.
    pub(super) is_centred: bool,
    pub(super) parts: Vec<Part<'a>>,
}

/// Rows to whose results the same is added.
pub(super) struct Part<'a> {
    pub(super) rows: Rows<'a>,
    /// Of all groups.
    pub(super) bias: Option<Tensor>,
}

/// A matrix that is to be changed so that rows times it, plus a bias, come near to the targets.
pub(super) struct Problem<'a> {
    pub(super) group: i64,
    /// `[columns, outputs]`.
    pub(super) matrix: &'a Tensor,
    /// A Gram matrix has no more than the square of so many elements.
    pub(super) widest: i64,
}

impl Problem<'_> {
    /// `None` where there is no solution in numbers.
    pub(super) fn solve(&self, places: &mut [Place]) -> Result<Option<Fit>, Error> {
        let columns = self.matrix.size()[0];
        let count: i64 = places.iter().flat_map(|place| &place.parts).map(|part| part.rows.count()).sum();
        if count <= columns && count.saturating_mul(columns) <= self.widest.saturating_mul(self.widest) {
            self.by_rows(places)
        } else if columns <= self.widest {
            self.by_columns(places)
        } else {
            blocks::solve(self, places)
        }
    }

    fn by_columns(&self, places: &mut [Place]) -> Result<Option<Fit>, Error> {
        let Some(Moments { gram, cross, means }) = self.moments(places, &(0..self.matrix.size()[0]))? else {
            return Ok(None);
        };
        let diagonal = gram.f_diagonal(0, 0, 1)?.f_mean(Kind::Double)?.f_double_value(&[])?;
        let Some(factor) = ridge_factors(&[gram], diagonal)? else { return Ok(None) };
        Fit::of(self.matrix, &cross.f_cholesky_solve(&factor.parts[0], false)?, &means).map(Some)
    }

    /// Of some columns, and of what the matrix leaves.
    pub(super) fn moments(&self, places: &mut [Place], block: &Range<i64>) -> Result<Option<Moments>, Error> {
        Moments::of(places, self.group, |bias, inputs, targets| {
            let residual = self.residual(bias, inputs, targets)?;
            Ok((inputs.f_narrow(1, block.start, block.end - block.start)?, residual))
        })
    }

    /// What the matrix leaves of the targets.
    fn residual(&self, bias: Option<&Tensor>, inputs: &Tensor, targets: &Tensor) -> Result<Tensor, Error> {
        let left = targets.f_sub(&inputs.f_matmul(self.matrix)?)?;
        let outputs = self.matrix.size()[1];
        Ok(match bias {
            Some(bias) => left.f_sub(&bias.f_narrow(0, self.group * outputs, outputs)?)?,
            None => left,
        })
    }

    /// The change is the rows, turned, times what solves `(X Xᵀ + λ) a = R`.
    fn by_rows(&self, places: &mut [Place]) -> Result<Option<Fit>, Error> {
        let (mut inputs, mut residuals, mut means) = (Vec::new(), Vec::new(), Vec::new());
        for place in places {
            let (mut of_place, mut left) = (Vec::new(), Vec::new());
            for Part { rows, bias } in &mut place.parts {
                rows.each(self.group, |some, targets| {
                    left.push(self.residual(bias.as_ref(), some, targets)?.f_to_kind(Kind::Double)?);
                    of_place.push(some.f_to_kind(Kind::Double)?);
                    Ok(())
                })?;
            }
            if of_place.is_empty() {
                return Ok(None);
            }
            let (x, r) = (Tensor::f_cat(&of_place, 0)?, Tensor::f_cat(&left, 0)?);
            let mean = |tensor: &Tensor| -> Result<Tensor, Error> {
                let mean = tensor.f_mean_dim([0_i64].as_slice(), false, Kind::Double)?;
                Ok(if place.is_centred { mean } else { mean.f_zeros_like()? })
            };
            let (mean_input, mean_residual) = (mean(&x)?, mean(&r)?);
            inputs.push(x.f_sub(&mean_input)?);
            residuals.push(r.f_sub(&mean_residual)?);
            means.push((mean_input, mean_residual));
        }
        let x = Tensor::f_cat(&inputs, 0)?;
        let turned = x.f_transpose(0, 1)?;
        let gram = x.f_matmul(&turned)?;
        let diagonal = gram.f_trace()?.f_double_value(&[])? / self.matrix.size()[0] as f64;
        let Some(factor) = ridge_factors(&[gram], diagonal)? else { return Ok(None) };
        let combination = Tensor::f_cat(&residuals, 0)?.f_cholesky_solve(&factor.parts[0], false)?;
        Fit::of(self.matrix, &turned.f_matmul(&combination)?, &means).map(Some)
    }
}

impl Fit {
    pub(super) fn of(matrix: &Tensor, change: &Tensor, means: &[(Tensor, Tensor)]) -> Result<Self, Error> {
        let shift = |means| Ok(shift(means, change)?.f_to_kind(Kind::Float)?);
        let matrix = matrix.f_to_kind(Kind::Double)?.f_add(change)?.f_to_kind(Kind::Float)?;
        Ok(Self { matrix, shifts: means.iter().map(shift).collect::<Result<_, Error>>()? })
    }
}

/// What is left of the mean residual once the mean input meets the change.
fn shift((mean_input, mean_residual): &(Tensor, Tensor), change: &Tensor) -> Result<Tensor, Error> {
    Ok(mean_residual.f_sub(&mean_input.f_unsqueeze(0)?.f_matmul(change)?.f_squeeze_dim(0)?)?)
}

/// Gram matrices with a ridge on their diagonals, factored.
pub(super) struct Factors {
    pub(super) ridge: f64,
    pub(super) parts: Vec<Tensor>,
}

/// With the least ridge that gives all of them a factor, in shares of `diagonal`.
pub(super) fn ridge_factors(grams: &[Tensor], diagonal: f64) -> Result<Option<Factors>, Error> {
    if !(diagonal.is_finite() && diagonal > 0.0) {
        return Ok(None);
    }
    for attempt in 0..TRIES {
        let ridge = RIDGE * 10.0_f64.powi(attempt) * diagonal;
        let mut parts = Vec::new();
        for gram in grams {
            let identity = Tensor::f_eye(gram.size()[0], (Kind::Double, gram.device()))?;
            let (factor, failed) = gram.f_add(&identity.f_mul_scalar(ridge)?)?.f_linalg_cholesky_ex(false, false)?;
            if failed.f_int64_value(&[])? != 0 {
                break;
            }
            parts.push(factor);
        }
        if parts.len() == grams.len() {
            return Ok(Some(Factors { ridge, parts }));
        }
    }
    Ok(None)
}

/// Sums over the rows of a place, from which an origin is taken off first, so that little is lost when the means are.
struct Sums {
    is_centred: bool,
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
            is_centred,
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

    fn moments(mut self) -> Result<Moments, Error> {
        if !self.is_centred {
            let means = (self.inputs.f_zeros_like()?, self.residuals.f_zeros_like()?);
            return Ok(Moments { gram: self.gram, cross: self.cross, means: vec![means] });
        }
        let count = self.count.max(1.0);
        let (mean_input, mean_residual) = (self.inputs.f_div_scalar(count)?, self.residuals.f_div_scalar(count)?);
        let column = self.inputs.f_unsqueeze(1)?;
        let _ = self.gram.f_sub_(&column.f_matmul(&mean_input.f_unsqueeze(0)?)?)?;
        let _ = self.cross.f_sub_(&column.f_matmul(&mean_residual.f_unsqueeze(0)?)?)?;
        let means = (self.origin.0.f_add(&mean_input)?, self.origin.1.f_add(&mean_residual)?);
        Ok(Moments { gram: self.gram, cross: self.cross, means: vec![means] })
    }
}

/// Products of columns with columns and with residuals, summed over the rows of all places, each about its means.
pub(super) struct Moments {
    pub(super) gram: Tensor,
    pub(super) cross: Tensor,
    /// Of the columns and of the residuals, by place.
    pub(super) means: Vec<(Tensor, Tensor)>,
}

impl Moments {
    /// Of all columns, and of no residuals; `None` without rows.
    pub(super) fn of_inputs(places: &mut [Place], group: i64) -> Result<Option<Self>, Error> {
        Self::of(places, group, |_, inputs, _| Ok((inputs.shallow_clone(), inputs.f_narrow(1, 0, 0)?)))
    }

    /// `of_rows` makes columns and residuals of a bias, some inputs and their targets.
    fn of(
        places: &mut [Place],
        group: i64,
        of_rows: impl Fn(Option<&Tensor>, &Tensor, &Tensor) -> Result<(Tensor, Tensor), Error>,
    ) -> Result<Option<Self>, Error> {
        let mut total: Option<Self> = None;
        for Place { is_centred, parts } in places {
            let mut sums: Option<Sums> = None;
            for Part { rows, bias } in parts {
                rows.each(group, |inputs, targets| {
                    let (columns, residuals) = of_rows(bias.as_ref(), inputs, targets)?;
                    match &mut sums {
                        Some(sums) => sums.add(&columns, &residuals),
                        None => {
                            sums = Some(Sums::start(&columns, &residuals, *is_centred)?);
                            Ok(())
                        }
                    }
                })?;
            }
            let Some(sums) = sums else { return Ok(None) };
            let own = sums.moments()?;
            match &mut total {
                Some(total) => total.add(own)?,
                None => total = Some(own),
            }
        }
        Ok(total)
    }

    fn add(&mut self, other: Self) -> Result<(), Error> {
        let _ = self.gram.f_add_(&other.gram)?;
        let _ = self.cross.f_add_(&other.cross)?;
        self.means.extend(other.means);
        Ok(())
    }
}
