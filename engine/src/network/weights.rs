//! Tensors to safetensors and back, by the original parameter names.
//!
//! In memory the weights of a graph are one tensor per entry of `graph.parameters()`, in that order; tied entries are
//! the same tensor. In a file a tied tensor is stored once, under the name of its first owner. Files appear whole or not
//! at all (written beside and renamed).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, View, serialize, serialize_to_file};
use safetensors::{SafeTensorError, SafeTensors};
use secateur_core::graph::{Graph, Parameter, ParameterKind, ValueId};
use tch::{Device, Kind, Tensor};

use crate::error::Error;

/// Writes the weights of a graph.
pub fn save(path: &Path, graph: &Graph, weights: &[Tensor]) -> Result<(), Error> {
    let owned = graph.parameters().iter().zip(weights).filter(|(parameter, _)| parameter.tied_to.is_none());
    save_named(path, owned.map(|(parameter, tensor)| (parameter.name.as_str(), tensor)))
}

/// Reads the weights of a graph onto a device.
///
/// # Errors
/// When a tensor is missing, or its shape is not the one that the graph recorded: both are our own bugs.
pub fn load(path: &Path, graph: &Graph, device: Device) -> Result<Vec<Tensor>, Error> {
    let mut named: HashMap<String, Tensor> = load_named(path, device)?.into_iter().collect();
    for_each_owned(graph, |_, parameter| {
        let tensor = named
            .remove(&parameter.name)
            .ok_or_else(|| Error::internal(format!("{} holds no tensor `{}`", path.display(), parameter.name)))?;
        let expected = shape_of(graph, parameter);
        if tensor.size() != expected {
            return Err(Error::internal(format!(
                "`{}` has shape {:?} in {} and {expected:?} in the graph",
                parameter.name,
                tensor.size(),
                path.display()
            )));
        }
        Ok(tensor)
    })
}

/// Makes the weights of a graph: calls `make` with the index of every parameter that owns its tensor, and gives
/// parameters that are tied to it the same tensor.
pub fn for_each_owned(
    graph: &Graph,
    mut make: impl FnMut(usize, &Parameter) -> Result<Tensor, Error>,
) -> Result<Vec<Tensor>, Error> {
    let mut weights: Vec<Tensor> = Vec::with_capacity(graph.parameters().len());
    let mut position: HashMap<&str, usize> = HashMap::new();
    for (index, parameter) in graph.parameters().iter().enumerate() {
        let tensor = match &parameter.tied_to {
            Some(owner) => weights[position[owner.as_str()]].shallow_clone(),
            None => make(index, parameter)?,
        };
        position.insert(&parameter.name, index);
        weights.push(tensor);
    }
    Ok(weights)
}

/// The shape that a graph records for a parameter.
pub fn shape_of(graph: &Graph, parameter: &Parameter) -> Vec<i64> {
    graph.value(parameter.value).shape.iter().map(|size| size.fixed).collect()
}

/// Writes tensors under any names.
pub fn save_named<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<(), Error> {
    let in_file = |error: SafeTensorError| Error::internal(format!("{}: {error}", path.display()));
    serialize_to_file(stored(tensors)?, None, &from_working_folder(path)).map_err(in_file)
}

/// The same path by the kernel's own name of the working folder. `safetensors` makes relative paths absolute, and an engine with a user
/// of its own cannot pass through the folders around its own.
fn from_working_folder(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new("/proc/self/cwd").join(path) }
}

/// Tensors under any names, with a header, as the bytes of a safetensors file.
pub fn to_bytes<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    header: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, Error> {
    serialize(stored(tensors)?, header).map_err(in_memory)
}

/// The header of such bytes; empty when there is none.
pub fn header(bytes: &[u8]) -> Result<HashMap<String, String>, Error> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(in_memory)?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

/// Reads every tensor of a file, in the order of their names.
pub fn load_named(path: &Path, device: Device) -> Result<Vec<(String, Tensor)>, Error> {
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    from_bytes(&bytes, device).map_err(|error| Error::internal(format!("{}: {error}", path.display())))
}

/// Reads every tensor of the bytes of a safetensors file, in the order of their names.
pub fn from_bytes(bytes: &[u8], device: Device) -> Result<Vec<(String, Tensor)>, Error> {
    let file = SafeTensors::deserialize(bytes).map_err(in_memory)?;
    let mut tensors: Vec<(String, Tensor)> = file
        .iter()
        .map(|(name, view)| {
            let kind =
                kind_of(view.dtype()).ok_or_else(|| Error::internal(format!("`{name}` is {:?}", view.dtype())))?;
            let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
            // The reader has checked that the bytes are as many as shape and dtype say.
            let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?.f_to(device)?;
            Ok((name.to_owned(), tensor))
        })
        .collect::<Result<_, Error>>()?;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

/// The float weights of a graph as contiguous `f32` in host memory, by name; for the importance of channels.
pub fn to_host(graph: &Graph, weights: &[Tensor]) -> Result<HashMap<String, Vec<f32>>, Error> {
    let mut host = HashMap::with_capacity(weights.len());
    for (parameter, tensor) in graph.parameters().iter().zip(weights) {
        if !tensor.f_kind().is_ok_and(is_float) {
            continue;
        }
        let tensor = tensor.f_detach()?.f_to(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let mut values = vec![0.0; tensor.numel()];
        tensor.f_copy_data(&mut values, tensor.numel())?;
        host.insert(parameter.name.clone(), values);
    }
    Ok(host)
}

/// Copies that share nothing with the originals; what was tied stays tied.
pub fn deep_copy(graph: &Graph, weights: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    for_each_owned(graph, |index, _| copy(&weights[index]))
}

/// A copy that shares nothing with the tensor, in the same layout, without gradients.
pub fn copy(tensor: &Tensor) -> Result<Tensor, Error> {
    let tensor = tensor.f_detach()?;
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(&tensor)?;
    Ok(copy)
}

/// Subnormal numbers become zero: they carry nothing, and arithmetic with them is many times slower on a CPU.
pub fn flush_subnormals(graph: &Graph, weights: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    for_each_owned(graph, |index, _| flushed(&weights[index]))
}

fn flushed(tensor: &Tensor) -> Result<Tensor, Error> {
    let smallest = match tensor.f_kind()? {
        Kind::Float => f64::from(f32::MIN_POSITIVE),
        Kind::Double => f64::MIN_POSITIVE,
        _ => return Ok(tensor.shallow_clone()),
    };
    let subnormal = tensor.f_abs()?.f_lt(smallest)?;
    Ok(tensor.f_masked_fill(&subnormal, 0.0)?)
}

/// Which parameters the layers have learnt: those that the model registered, or in a frozen file, where constants stand in their place, the
/// constants that layers take for weights. A tied one counts once.
pub fn learned(graph: &Graph) -> Vec<usize> {
    let of_kind = |kind| {
        let parameters = graph.parameters().iter().enumerate();
        parameters.filter(move |(_, parameter)| parameter.kind == kind && parameter.tied_to.is_none())
    };
    let registered: Vec<usize> = of_kind(ParameterKind::Parameter).map(|(index, _)| index).collect();
    if !registered.is_empty() {
        return registered;
    }
    let layers = graph.nodes().iter().flat_map(|node| ["weight", "bias"].map(|name| node.tensor(name)));
    let weights: HashSet<ValueId> = layers.flatten().collect();
    of_kind(ParameterKind::Constant)
        .filter(|(_, constant)| weights.contains(&constant.value))
        .map(|(index, _)| index)
        .collect()
}

/// Which of them are trained: those that ask for gradients, or all where none does.
pub fn trainable(graph: &Graph) -> Vec<usize> {
    let learned = learned(graph);
    let asks = |&index: &usize| graph.parameters()[index].requires_grad;
    let asking: Vec<usize> = learned.iter().copied().filter(asks).collect();
    if asking.is_empty() { learned } else { asking }
}

pub fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

/// A tensor as it is written: in host memory, in row-major order. What is that already is not copied.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    tensor: Tensor,
}

impl Stored {
    fn from_tensor(tensor: &Tensor) -> Result<Self, Error> {
        let kind = tensor.f_kind()?;
        let dtype = dtype_of(kind).ok_or_else(|| Error::internal(format!("a tensor of {kind:?} cannot be stored")))?;
        let tensor = tensor.f_detach()?.f_to(Device::Cpu)?.f_contiguous()?;
        Ok(Self { dtype, shape: tensor.size().iter().map(|&size| size as usize).collect(), tensor })
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.data_len() == 0 {
            return Cow::Borrowed(&[]);
        }
        // SAFETY: a contiguous tensor in host memory holds its elements one after the other from `data_ptr` on; `self` owns it.
        Cow::Borrowed(unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast(), self.data_len()) })
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

fn stored<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<Vec<(&'a str, Stored)>, Error> {
    tensors.into_iter().map(|(name, tensor)| Ok((name, Stored::from_tensor(tensor)?))).collect()
}

fn in_memory(error: SafeTensorError) -> Error {
    Error::internal(error.to_string())
}

const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Int16, Dtype::I16),
    (Kind::Int8, Dtype::I8),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(own, _)| *own == kind).map(|&(_, dtype)| dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, own)| *own == dtype).map(|&(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_read_back_bit_by_bit_whatever_their_layout() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let transposed = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3]).transpose(0, 1);
        let counter = Tensor::from(7_i64);
        save_named(&path, [("w", &transposed), ("n", &counter)]).unwrap();
        let loaded = load_named(&path, Device::Cpu).unwrap();
        assert_eq!(loaded.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["n", "w"]);
        assert_eq!(loaded[0].1.size(), Vec::<i64>::new());
        assert_eq!(loaded[0].1.int64_value(&[]), 7);
        assert_eq!(loaded[1].1.size(), [3, 2]);
        assert!(loaded[1].1.equal(&transposed));
    }

    #[test]
    fn only_subnormals_are_flushed() {
        let tensor = Tensor::from_slice(&[1e-39_f32, -1e-40, f32::MIN_POSITIVE, -2.5, 0.0]);
        let flushed = flushed(&tensor).unwrap();
        assert_eq!(Vec::<f32>::try_from(&flushed).unwrap(), [0.0, 0.0, f32::MIN_POSITIVE, -2.5, 0.0]);
    }
}
