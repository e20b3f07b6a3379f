//! Surgery on tensors: what [`secateur_core::surgery`] decided by name and axis, carried out with `index_select`.

use secateur_core::configuration::Configuration;
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::surgery::{self, AxisIndices, Cut};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::network::{Network, weights};

/// What a configuration cuts of the original, and the network that is left.
pub fn network(
    original: &Network,
    grouping: &Grouping,
    configuration: &Configuration,
) -> Result<(Cut, Network), Error> {
    let cut = surgery::cut(original.graph(), grouping, configuration)
        .map_err(|error| Error::internal(format!("widths {:?}: {error}", configuration.widths())))?;
    let network = Network::new(cut.graph.clone(), apply(original.graph(), &cut, original.weights())?)?;
    Ok((cut, network))
}

/// The tensors of the cut network, in the order of its parameters. `graph` is the uncut one.
///
/// # Errors
/// When a tensor's shape is not the one that the cut graph records: our own bug.
pub fn apply(graph: &Graph, cut: &Cut, original: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    weights::for_each_owned(graph, |index, parameter| {
        let mut tensor = select(&original[index], &parameter.name, &cut.kept)?;
        if let Some(numbers) = &cut.graph.parameters()[index].numbers {
            tensor = Tensor::f_from_slice(numbers)?.f_to_kind(tensor.kind())?.f_to(tensor.device())?;
        }
        let expected = weights::shape_of(&cut.graph, &cut.graph.parameters()[index]);
        if tensor.size() != expected {
            return Err(Error::internal(format!(
                "surgery: `{}` was cut to {:?}, the cut graph says {expected:?}",
                parameter.name,
                tensor.size()
            )));
        }
        Ok(tensor)
    })
}

/// The original's tensors with the removed input columns of consumers set to zero.
pub fn with_zeroed_columns(graph: &Graph, zeroed: &AxisIndices, original: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    weights::for_each_owned(graph, |index, parameter| {
        let mut tensor = weights::copy(&original[index])?;
        for (&axis, indices) in zeroed.0.get(&parameter.name).into_iter().flatten() {
            let index = index_tensor(indices)?.f_to(tensor.device())?;
            let _ = tensor.f_index_fill_(axis as i64, &index, 0.0)?;
        }
        Ok(tensor)
    })
}

/// True at these indices of the first dimension.
pub fn mask(shape: &[i64], indices: &[u32]) -> Result<Tensor, Error> {
    let mut mask = Tensor::f_zeros(shape, (Kind::Bool, Device::Cpu))?;
    let _ = mask.f_index_fill_(0, &index_tensor(indices)?, 1)?;
    Ok(mask)
}

fn select(tensor: &Tensor, name: &str, kept: &AxisIndices) -> Result<Tensor, Error> {
    let Some(axes) = kept.0.get(name) else {
        // A copy all the same: batch norm writes its statistics in place, and the original must stay as it is.
        return weights::copy(tensor);
    };
    let mut tensor = tensor.f_detach()?;
    for (&axis, indices) in axes {
        tensor = tensor.f_index_select(axis as i64, &index_tensor(indices)?.f_to(tensor.device())?)?;
    }
    Ok(tensor)
}

fn index_tensor(indices: &[u32]) -> Result<Tensor, Error> {
    let indices: Vec<i64> = indices.iter().map(|&index| i64::from(index)).collect();
    Ok(Tensor::f_from_slice(&indices)?)
}
