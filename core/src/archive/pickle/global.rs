//! The names that a pickle may use, and what calling them makes.
//!
//! The list is what PyTorch's serializer writes for tensors, lists, dictionaries, devices, complex numbers, enumerations
//! and TorchScript classes. Everything else is refused by name, with the reason where people are likely to meet it.

use std::io::BufRead;

use super::stack::{MOST_ARGUMENTS, Step};
use super::text::{TypeFault, type_fault};
use super::value::Text;
use super::{Content, Kind, MAX_DIMENSIONS, Packed, Place, Reader, StackFault, Value, Witness};
use crate::archive::QUANTIZED_HINT;
use crate::archive::name::{hidden_character, quoted};
use crate::archive::tensor::{Dtype, Storage, Tensor, device_is_accelerator};
use crate::rejection::{Code, Rejection};

/// Bytes of the name of a module or a class.
const LONGEST_NAME: usize = 1024;

/// A name that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::archive) enum Global {
    /// A class or enumeration of the archive's own code.
    Class,
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

impl<R: BufRead, W: Witness> Reader<'_, R, W> {
    pub(super) fn push_global(&mut self) -> Result<(), Rejection> {
        let module = self.name_line()?;
        let name = self.name_line()?;
        let global = self.resolve(&module, &name)?;
        if global == Global::Class {
            self.witness.class(&module, &name)?;
        }
        self.push(Kind::Global(global));
        Ok(())
    }

    fn name_line(&mut self) -> Result<String, Rejection> {
        let line = self.input.line(LONGEST_NAME);
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
        let [function, argument] = self.pop()?;
        let Kind::Global(global) = function.kind else {
            return Err(self.refused("calls something that is no name"));
        };
        // Copied, since the tuple's place is free for what the call makes.
        let mut held = [argument; MOST_ARGUMENTS];
        let arguments = match self.stack.items(&argument) {
            Some(items) if items.len() <= MOST_ARGUMENTS => {
                held[..items.len()].copy_from_slice(items);
                Some(&held[..items.len()])
            }
            _ => None,
        };
        let result = self.call(global, &argument, arguments)?;
        self.stack.release(&argument);
        self.stack.push(result);
        Ok(())
    }

    /// What the call makes; `arguments` are the items of `argument` if it is a tuple that may be one of arguments.
    fn call(&mut self, global: Global, argument: &Value, arguments: Option<&[Value]>) -> Result<Value, Rejection> {
        match (global, arguments) {
            (Global::TypedList, Some(&[list @ Value { kind: Kind::List { .. }, .. }])) => Ok(list),
            (Global::TypeTag, Some(&[mut value, tag])) => {
                self.check_type_tag(&tag)?;
                value.forget_items();
                Ok(value)
            }
            // The loader makes `None` of it: it stands for hooks, which are never saved.
            (Global::OrderedDict, Some([]))
            | (Global::Complex, Some([_, _]))
            | (Global::Device, Some([_] | [_, _])) => Ok(Value::leaf(Kind::Opaque)),
            // A member of an enumeration: the serializer gives the bare value, not a tuple.
            (Global::Class, _) => {
                let member = Value::around(Kind::Opaque, &Content::of(&[*argument]));
                self.carried_out(member.map_err(StackFault::from))
            }
            (Global::RebuildTensor, Some(&[storage, offset, sizes, strides, _requires_grad, _hooks, ..])) => {
                self.rebuild_tensor(&storage, &offset, &sizes, &strides)
            }
            _ => Err(self.damaged("calls a name with arguments that do not fit it")),
        }
    }

    fn check_type_tag(&self, tag: &Value) -> Result<(), Rejection> {
        let Text { id, is_type, .. } = match tag.kind {
            Kind::Text(text) => text,
            Kind::LongText => return Err(self.refused("has a type tag that is too long or nested too deep")),
            _ => return Err(self.damaged("has a type tag that is no text")),
        };
        if is_type {
            return Ok(());
        }
        let tag = self.texts.get(id);
        match type_fault(tag) {
            Some(TypeFault::CustomClass) => {
                Err(self.refused(format!("has an object of a custom C++ class, {}", quoted(tag))))
            }
            _ => Err(self.refused("has a type tag that is too long or nested too deep")),
        }
    }

    fn rebuild_tensor(
        &mut self,
        storage: &Value,
        offset: &Value,
        sizes: &Value,
        strides: &Value,
    ) -> Result<Value, Rejection> {
        let Kind::Storage(storage) = storage.kind else {
            return Err(self.damaged("has a tensor without storage"));
        };
        let offset = offset.integer().ok_or_else(|| self.damaged("has a tensor whose offset is no integer"))?;
        let (mut size_store, mut stride_store) = ([0; MAX_DIMENSIONS], [0; MAX_DIMENSIONS]);
        let sizes = self.integers(sizes, &mut size_store)?;
        let strides = self.integers(strides, &mut stride_store)?;
        if sizes.len() != strides.len() {
            return Err(self.damaged(format!("has a tensor with {} sizes and {} strides", sizes.len(), strides.len())));
        }
        let place = Place { record: self.record, stack: &self.stack, texts: &self.texts };
        self.witness.tensor(&Tensor { storage, offset, sizes, strides }, &place)?;
        let number = self.tensors;
        // `MAX_OPERATIONS` bounds the tensors.
        self.tensors += 1;
        Ok(Value::leaf(Kind::Tensor(Packed(number))))
    }

    fn integers<'s>(&self, tuple: &Value, store: &'s mut [i64; MAX_DIMENSIONS]) -> Result<&'s [i64], Rejection> {
        let fault = || self.damaged("has a tensor whose sizes are no tuple of integers");
        let items = self.stack.items(tuple).ok_or_else(fault)?;
        // A tuple of which items are held has at most `MAX_DIMENSIONS`.
        for (slot, item) in store.iter_mut().zip(items) {
            *slot = item.integer().ok_or_else(fault)?;
        }
        Ok(&store[..items.len()])
    }

    /// `("storage", type, key, device, elements)` becomes a storage.
    pub(super) fn persistent_id(&mut self) -> Result<(), Rejection> {
        let [description] = self.pop()?;
        let &[kind, storage_type, key, device, elements] = self.stack.items(&description).unwrap_or_default() else {
            return Err(self.damaged("has a storage that is not described by five values"));
        };
        self.stack.release(&description);
        let text = |value: Value| match value.kind {
            Kind::Text(text) => Some(self.texts.get(text.id)),
            _ => None,
        };
        let (Some("storage"), Kind::Global(Global::StorageType(dtype)), Some(key), Some(device), Some(elements)) =
            (text(kind), storage_type.kind, text(key), text(device), elements.integer())
        else {
            return Err(self.damaged("has a storage whose description is damaged"));
        };
        let Ok(elements) = u64::try_from(elements) else {
            return Err(self.damaged(format!("has a storage of {elements} elements")));
        };
        let on_accelerator = device_is_accelerator(device).map_err(|fault| fault.of(&self.tensor_being_built()))?;
        let storage = Storage { dtype, on_accelerator, elements: Packed(elements) };
        self.witness.storage(&storage, key)?;
        self.push(Kind::Storage(storage));
        Ok(())
    }

    /// The name of the tensor to whose arguments the next value belongs.
    fn tensor_being_built(&self) -> String {
        let place = Place { record: self.record, stack: &self.stack, texts: &self.texts };
        match place.path().as_slice() {
            [tensor @ .., Step::Index(0)] => place.name_of(tensor),
            path => place.name_of(path),
        }
    }
}
