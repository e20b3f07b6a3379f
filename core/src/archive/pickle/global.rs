//! The names that a pickle may use, and what calling them makes.
//!
//! The list is what PyTorch's serializer writes for tensors, lists, dictionaries, devices, complex numbers, enumerations
//! and TorchScript classes. Everything else is refused by name, with the reason where people are likely to meet it.

use super::{Id, MAX_DIMENSIONS, Node, Reader, Value};
use crate::archive::QUANTIZED_HINT;
use crate::archive::tensor::{Dtype, Storage, Tensor};
use crate::rejection::{Code, Rejection};

/// A type tag names a type such as `Dict[str, List[Tensor]]`; PyTorch parses it each time that it is used.
const LONGEST_TYPE_TAG: usize = 8_192;
const MAX_TYPE_TAG_DEPTH: i32 = 64;

/// A name that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global<'a> {
    /// A class or enumeration of the archive's own code.
    Class {
        module: &'a str,
        name: &'a str,
    },
    RebuildTensor,
    StorageType(Dtype),
    OrderedDict,
    /// `build_intlist` and its like: the list itself.
    TypedList,
    /// The first argument, whose type is named by the second.
    TypeTag,
    Complex,
    Device,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn global(&self, id: Id) -> Option<Global<'a>> {
        match self.nodes[id.0 as usize].value {
            Value::Global(index) => Some(self.globals[index as usize]),
            _ => None,
        }
    }

    pub(super) fn push_global(&mut self) -> Result<(), Rejection> {
        let module = self.name_line()?;
        let name = self.name_line()?;
        let global = self.resolve(module, name)?;
        let index = self.globals.len() as u32;
        self.globals.push(global);
        self.push_leaf(Value::Global(index));
        Ok(())
    }

    fn name_line(&mut self) -> Result<&'a str, Rejection> {
        let line = self.fields.line().ok_or_else(|| self.cut_off())?;
        match std::str::from_utf8(line) {
            Ok(name) if name.len() <= 1024 && name.chars().all(|c| c.is_alphanumeric() || "_.<>".contains(c)) => {
                Ok(name)
            }
            _ => Err(self.damaged("has a name that is no identifier")),
        }
    }

    fn resolve(&self, module: &'a str, name: &'a str) -> Result<Global<'a>, Rejection> {
        if module == "__torch__" || module.starts_with("__torch__.") {
            if module.starts_with("__torch__.torch.classes") {
                return Err(self.custom_class(module, name));
            }
            return Ok(Global::Class { module, name });
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
                .hint("call `.to_dense()` on the parameter or buffer before saving")),
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => Err(self
                .rejection(Code::UnsupportedDtype, "has a tensor on the `meta` device, which has no values")
                .hint("load the weights into the module before saving it")),
            ("torch", storage) if storage.ends_with("Storage") => {
                match Dtype::of_storage(storage) {
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
            .hint("only parameters, buffers and plain attributes can be stored in a model")
    }

    /// Calls a name with the value on top of the stack.
    pub(super) fn reduce(&mut self) -> Result<(), Rejection> {
        let call = self.pop_many(2)?;
        let Some(global) = self.global(call[0]) else {
            return Err(self.refused("calls something that is no name"));
        };
        let arguments = match &self.nodes[call[1].0 as usize].value {
            Value::Tuple(items) => items.as_slice(),
            _ => &[],
        };
        match (global, arguments) {
            (Global::TypedList, &[list]) if matches!(self.nodes[list.0 as usize].value, Value::List(_)) => {
                self.stack.push(list);
            }
            (Global::TypeTag, &[value, tag]) => {
                self.check_type_tag(tag)?;
                self.stack.push(value);
            }
            (Global::OrderedDict, []) => self.push_leaf(Value::Dict(Vec::new())),
            (Global::Complex, [_, _]) | (Global::Device, [_] | [_, _]) => self.push_leaf(Value::Opaque),
            // A member of an enumeration: the serializer gives the bare value, not a tuple.
            (Global::Class { .. }, _) => {
                let (unshared, depth) = self.measure(1, 1, &call[1..])?;
                self.push_node(Node { value: Value::Opaque, unshared, depth, memoised: false });
            }
            (Global::RebuildTensor, &[storage, offset, sizes, strides, _requires_grad, _hooks, ..])
                if arguments.len() <= 7 =>
            {
                let tensor = self.tensor(storage, offset, sizes, strides)?;
                self.push_leaf(Value::Tensor(self.tensors.len() as u32));
                self.tensors.push(tensor);
            }
            _ => return Err(self.damaged("calls a name with arguments that do not fit it")),
        }
        Ok(())
    }

    fn check_type_tag(&mut self, tag: Id) -> Result<(), Rejection> {
        if !self.checked_type_tags.insert(tag) {
            return Ok(());
        }
        let Value::Text(tag) = self.nodes[tag.0 as usize].value else {
            return Err(self.damaged("has a type tag that is no text"));
        };
        let mut depth = 0;
        let too_deep = tag.bytes().any(|byte| {
            match byte {
                b'[' | b'(' => depth += 1,
                b']' | b')' => depth -= 1,
                _ => {}
            }
            depth > MAX_TYPE_TAG_DEPTH
        });
        if too_deep || tag.len() > LONGEST_TYPE_TAG {
            return Err(self.refused("has a type tag that is too long or nested too deep"));
        }
        if tag.contains("torch.classes") {
            return Err(self.refused(format!("has an object of a custom C++ class, `{tag}`")));
        }
        Ok(())
    }

    fn tensor(&self, storage: Id, offset: Id, sizes: Id, strides: Id) -> Result<Tensor, Rejection> {
        let Value::Storage(storage) = self.nodes[storage.0 as usize].value else {
            return Err(self.damaged("has a tensor without storage"));
        };
        let Value::Int(offset) = self.nodes[offset.0 as usize].value else {
            return Err(self.damaged("has a tensor whose offset is no integer"));
        };
        let (sizes, strides) = (self.integers(sizes)?, self.integers(strides)?);
        if sizes.len() != strides.len() || sizes.len() > MAX_DIMENSIONS {
            return Err(self.damaged(format!("has a tensor with {} sizes and {} strides", sizes.len(), strides.len())));
        }
        Ok(Tensor { storage: storage as usize, offset, sizes, strides })
    }

    fn integers(&self, tuple: Id) -> Result<Vec<i64>, Rejection> {
        let items = match &self.nodes[tuple.0 as usize].value {
            Value::Tuple(items) if items.len() <= MAX_DIMENSIONS => items,
            _ => return Err(self.damaged("has a tensor whose sizes are no tuple of integers")),
        };
        let integers = items.iter().map(|item| match self.nodes[item.0 as usize].value {
            Value::Int(integer) => Some(integer),
            _ => None,
        });
        integers.collect::<Option<_>>().ok_or_else(|| self.damaged("has a tensor whose sizes are no tuple of integers"))
    }

    /// `("storage", type, key, device, elements)` becomes a storage.
    pub(super) fn persistent_id(&mut self) -> Result<(), Rejection> {
        let description = self.pop()?;
        let parts = match &self.nodes[description.0 as usize].value {
            Value::Tuple(items) => items.as_slice(),
            _ => &[],
        };
        let &[kind, storage_type, key, device, elements] = parts else {
            return Err(self.damaged("has a storage that is not described by five values"));
        };
        let value = |id: Id| &self.nodes[id.0 as usize].value;
        let storage = match (value(kind), self.global(storage_type), value(key), value(device), value(elements)) {
            (
                Value::Text("storage"),
                Some(Global::StorageType(dtype)),
                &Value::Text(key),
                &Value::Text(device),
                &Value::Int(elements),
            ) => match u64::try_from(elements) {
                Ok(elements) => Storage { dtype, key, device, elements },
                Err(_) => return Err(self.damaged(format!("has a storage of {elements} elements"))),
            },
            _ => return Err(self.damaged("has a storage whose description is damaged")),
        };
        self.push_leaf(Value::Storage(self.storages.len() as u32));
        self.storages.push(storage);
        Ok(())
    }
}
