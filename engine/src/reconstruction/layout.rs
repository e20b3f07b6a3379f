//! A layer's weight as the matrices of its least-squares problems, one for each group of channels.

use secateur_core::surgery::Form;
use tch::Tensor;

use crate::error::Error;

/// The size of the matrix of each group: what is multiplied, and what comes out.
pub(super) fn size(form: &Form, weight: &[i64]) -> (i64, i64) {
    let rest = |dims: &[i64]| dims.iter().product::<i64>();
    match form {
        Form::Linear { is_transposed: true } => (weight[0], weight[1]),
        Form::Linear { is_transposed: false } => (weight[1], weight[0]),
        Form::Convolution(windows) => (rest(&weight[1..]), weight[0] / windows.groups),
        Form::TransposedConvolution(windows) => (weight[0] / windows.groups * rest(&weight[2..]), weight[1]),
    }
}

/// The matrix `[columns, outputs]` of a group.
pub(super) fn matrix(form: &Form, weight: &Tensor, group: i64) -> Result<Tensor, Error> {
    let (columns, outputs) = size(form, &weight.size());
    Ok(match form {
        Form::Linear { is_transposed: true } => weight.shallow_clone(),
        Form::Linear { is_transposed: false } => weight.f_transpose(0, 1)?,
        Form::Convolution(_) => {
            weight.f_narrow(0, group * outputs, outputs)?.f_reshape([outputs, columns])?.f_transpose(0, 1)?
        }
        Form::TransposedConvolution(windows) => {
            let inputs = weight.size()[0] / windows.groups;
            let own = weight.f_narrow(0, group * inputs, inputs)?.f_reshape([inputs, outputs, -1])?;
            own.f_transpose(1, 2)?.f_reshape([columns, outputs])?
        }
    })
}

/// The weight of this shape that has these matrices.
pub(super) fn weight(form: &Form, shape: &[i64], matrices: &[Tensor]) -> Result<Tensor, Error> {
    let of_group = |matrix: &Tensor| -> Result<Tensor, Error> {
        Ok(match form {
            Form::Linear { is_transposed: true } => matrix.shallow_clone(),
            Form::Linear { is_transposed: false } | Form::Convolution(_) => matrix.f_transpose(0, 1)?,
            Form::TransposedConvolution(windows) => {
                let own = matrix.f_reshape([shape[0] / windows.groups, -1, shape[1]])?;
                own.f_transpose(1, 2)?.f_contiguous()?
            }
        })
    };
    let parts: Vec<Tensor> = matrices.iter().map(of_group).collect::<Result<_, _>>()?;
    Ok(Tensor::f_cat(&parts, 0)?.f_reshape(shape)?)
}
