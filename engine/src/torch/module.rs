//! TorchScript modules of our own making: built from tensors and source text, saved, and run again.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cxx::UniquePtr;
use secateur_core::graph::{GivenNumber, ParameterKind};
use tch::{Device, Tensor};

use super::TorchError;
use super::archive::given;
use super::bridge::ffi::{self, ExtraFile, TensorKind};
use super::bridge::{all_borrowed, all_owned, borrowed};

/// A TorchScript module under construction. The folders of dotted names become submodules.
pub struct ModuleBuilder(UniquePtr<ffi::ModuleBuilder>);

impl ModuleBuilder {
    pub fn new(class_name: &str) -> Result<Self, TorchError> {
        Ok(Self(ffi::new_module_builder(class_name)?))
    }

    /// Registers a tensor under its dotted name. The same tensor under two names stays one tensor in the file.
    pub fn tensor(
        &mut self,
        name: &str,
        kind: ParameterKind,
        tensor: &Tensor,
        requires_grad: bool,
    ) -> Result<(), TorchError> {
        let kind = match kind {
            ParameterKind::Parameter => TensorKind::Parameter,
            ParameterKind::Buffer => TensorKind::Buffer,
            ParameterKind::Constant => TensorKind::Attribute,
        };
        Ok(self.0.pin_mut().tensor(name, kind, borrowed(tensor), requires_grad)?)
    }

    /// Defines methods of the submodule at `path` (the root when empty) by TorchScript source.
    pub fn define(&mut self, path: &str, source: &str) -> Result<(), TorchError> {
        Ok(self.0.pin_mut().define(path, source)?)
    }

    /// Writes the archive, in evaluation mode; `extra` are texts by name, found under `extra/` in the file.
    pub fn save(&mut self, file: &Path, extra: &[(&str, &str)]) -> Result<(), TorchError> {
        let extra: Vec<ExtraFile<'_>> = extra.iter().map(|&(name, text)| ExtraFile { name, text }).collect();
        Ok(self.0.pin_mut().save(file.as_os_str().as_bytes(), &extra)?)
    }
}

/// A file of our own export, loaded by `torch::jit::load` as a user would. Never for a file that was not imported: it checks nothing.
pub struct Reloaded(UniquePtr<ffi::Reloaded>);

impl Reloaded {
    pub fn open(file: &Path, device: Device) -> Result<Self, TorchError> {
        let device = match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        Ok(Self(ffi::open_reloaded(file.as_os_str().as_bytes(), &device)?))
    }

    /// The same, with these numbers for the inputs of `forward` that take numbers.
    #[must_use]
    pub fn with_numbers(mut self, numbers: &[GivenNumber]) -> Self {
        self.0.pin_mut().give(&given(numbers));
        self
    }

    /// `forward` in evaluation mode and without gradients; the output's tensors in reading order.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        Ok(all_owned(self.0.forward(&all_borrowed(inputs))?))
    }

    /// Any other method, likewise.
    pub fn call(&self, method: &str, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        Ok(all_owned(self.0.call(method, &all_borrowed(inputs))?))
    }
}
