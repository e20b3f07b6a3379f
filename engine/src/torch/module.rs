//! TorchScript modules of our own making: built from tensors and source text, saved, and run again.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use secateur_core::graph::ParameterKind;
use tch::{Device, Tensor};

use super::TorchError;
use super::ffi::{self, c_string, check, pointers};

/// A TorchScript module under construction. The folders of dotted names become submodules.
pub struct ModuleBuilder {
    raw: *mut ffi::ModuleBuilder,
}

impl ModuleBuilder {
    pub fn new(class_name: &str) -> Result<Self, TorchError> {
        let class_name = c_string(class_name)?;
        let mut raw = null_mut();
        // SAFETY: the string outlives the call; on success the object is ours.
        check(unsafe { ffi::secateur_module_new(class_name.as_ptr(), &raw mut raw) })?;
        Ok(Self { raw })
    }

    /// Registers a tensor under its dotted name. The same tensor under two names stays one tensor in the file.
    pub fn tensor(
        &mut self,
        name: &str,
        kind: ParameterKind,
        tensor: &Tensor,
        requires_grad: bool,
    ) -> Result<(), TorchError> {
        let name = c_string(name)?;
        let kind = match kind {
            ParameterKind::Parameter => 0,
            ParameterKind::Buffer => 1,
            ParameterKind::Constant => 2,
        };
        // SAFETY: `raw`, the string and the tensor outlive the call.
        check(unsafe { ffi::secateur_module_tensor(self.raw, name.as_ptr(), kind, tensor.as_ptr(), requires_grad) })
    }

    /// Defines methods of the submodule at `path` (the root when empty) by TorchScript source.
    pub fn define(&mut self, path: &str, source: &str) -> Result<(), TorchError> {
        let (path, source) = (c_string(path)?, c_string(source)?);
        // SAFETY: `raw` and the strings outlive the call.
        check(unsafe { ffi::secateur_module_define(self.raw, path.as_ptr(), source.as_ptr()) })
    }

    /// Writes the archive, in evaluation mode; `extra` are texts by name, found under `extra/` in the file.
    pub fn save(&mut self, file: &Path, extra: &[(&str, &str)]) -> Result<(), TorchError> {
        let file = c_path(file)?;
        let strings = |texts: Vec<&str>| texts.into_iter().map(c_string).collect::<Result<Vec<CString>, _>>();
        let names = strings(extra.iter().map(|(name, _)| *name).collect())?;
        let texts = strings(extra.iter().map(|(_, text)| *text).collect())?;
        let name_pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let text_pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
        // SAFETY: `raw`, the strings and the arrays outlive the call; both arrays have `extra.len()` entries.
        check(unsafe {
            ffi::secateur_module_save(
                self.raw,
                file.as_ptr(),
                name_pointers.as_ptr(),
                text_pointers.as_ptr(),
                extra.len(),
            )
        })
    }
}

impl Drop for ModuleBuilder {
    fn drop(&mut self) {
        // SAFETY: made by `secateur_module_new`, freed here and once.
        unsafe { ffi::secateur_module_free(self.raw) };
    }
}

/// A file of our own export, loaded by `torch::jit::load` as a user would. Never for a user's file: it checks nothing.
pub struct Reloaded {
    raw: *mut ffi::Reloaded,
}

impl Reloaded {
    pub fn open(file: &Path, device: Device) -> Result<Self, TorchError> {
        let file = c_path(file)?;
        let device = c_string(&match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        })?;
        let mut raw = null_mut();
        // SAFETY: the strings outlive the call; on success the object is ours.
        check(unsafe { ffi::secateur_reloaded_open(file.as_ptr(), device.as_ptr(), &raw mut raw) })?;
        Ok(Self { raw })
    }

    /// `forward` in evaluation mode and without gradients; the output's tensors in reading order.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let inputs = pointers(inputs);
        // SAFETY: `raw`, the pointers and the tensors behind them outlive the call.
        ffi::tensors(|result| unsafe {
            ffi::secateur_reloaded_forward(self.raw, inputs.as_ptr(), inputs.len(), result)
        })
    }
}

impl Drop for Reloaded {
    fn drop(&mut self) {
        // SAFETY: made by `secateur_reloaded_open`, freed here and once.
        unsafe { ffi::secateur_reloaded_free(self.raw) };
    }
}

pub(super) fn c_path(path: &Path) -> Result<CString, TorchError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| TorchError::Libtorch(format!("{} contains a zero byte", path.display())))
}
