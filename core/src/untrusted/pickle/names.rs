//! Names of a pickle, resolved: what is not on the list is refused by name, with the reason where people are likely to meet it.

use std::io::BufRead;

use super::global::Global;
use super::tensor::StorageType;
use super::{Machine, ValueKind, Witness};
use crate::plain_text::{hidden_character, quoted};
use crate::rejection::{Code, QUANTIZED_HINT, Rejection};

/// Bytes of the name of a module or a class.
const LONGEST_NAME: usize = 1024;

impl<R: BufRead, W: Witness> Machine<'_, R, W> {
    /// Reads a name and puts it onto the stack.
    pub(super) fn push_global(&mut self) -> Result<(), Rejection> {
        let module = self.name_line()?;
        let name = self.name_line()?;
        let global = self.resolve(&module, &name)?;
        if global == Global::Class {
            self.witness.class(&module, &name)?;
        }
        self.push(ValueKind::Global(global));
        Ok(())
    }

    fn name_line(&mut self) -> Result<String, Rejection> {
        let line = self.stream.line(LONGEST_NAME);
        let line = self.take(line)?.and_then(|line| String::from_utf8(line).ok());
        let is_name = |name: &String| {
            hidden_character(name).is_none() && name.chars().all(|c| c.is_alphanumeric() || "_.<>".contains(c))
        };
        match line {
            Some(name) if is_name(&name) => Ok(name),
            Some(name) => Err(self.damaged(format!("has the name {}, which is no identifier", quoted(&name)))),
            None => Err(self.damaged("has a name that is no identifier")),
        }
    }

    fn resolve(&self, module: &str, name: &str) -> Result<Global, Rejection> {
        if module == "__torch__" || module.starts_with("__torch__.") {
            if module.starts_with("__torch__.torch.classes") {
                return Err(self.custom_class(module, name));
            }
            return Ok(Global::Class);
        }
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            ("torch.jit._pickle", "restore_type_tag") => Ok(Global::TypeTag),
            ("torch.jit._pickle", "build_intlist" | "build_doublelist" | "build_boollist" | "build_tensorlist") => {
                Ok(Global::TypedList)
            }
            ("builtins", "complex") => Ok(Global::Complex),
            ("torch", "device") => Ok(Global::Device),
            ("torch", "per_tensor_affine" | "per_channel_affine" | "per_channel_affine_float_qparams")
            | ("torch._utils", "_rebuild_qtensor") => Err(self
                .rejection(Code::UnsupportedDtype, "has a quantized tensor; float32 weights are needed")
                .hint(QUANTIZED_HINT)),
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => Err(self
                .rejection(Code::UnsupportedDtype, "has a sparse tensor; dense float32 weights are needed")
                .hint("Call `.to_dense()` on the parameter or buffer before saving.")),
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => Err(self
                .rejection(Code::UnsupportedDtype, "has a tensor on the `meta` device, which has no values")
                .hint("Load the weights into the module before saving it.")),
            ("torch", storage) if storage.ends_with("Storage") => {
                match StorageType::of_storage(storage) {
                    Some(dtype) => Ok(Global::StorageType(dtype)),
                    None => Err(self
                        .rejection(Code::UnsupportedDtype, format!("has a tensor of an unknown type, `torch.{name}`"))),
                }
            }
            _ => Err(self.refused(format!(
                "names the Python object `{module}.{name}`, which TorchScript's serializer never writes"
            ))),
        }
    }

    fn custom_class(&self, module: &str, name: &str) -> Rejection {
        if module.contains(".quantized") {
            return self
                .rejection(Code::UnsupportedDtype, format!("has packed quantized weights, `{module}.{name}`"))
                .hint(QUANTIZED_HINT);
        }
        self.refused(format!("has an object of the custom C++ class `{module}.{name}`"))
            .hint("Store nothing but parameters, buffers and plain attributes in the model.")
    }
}
