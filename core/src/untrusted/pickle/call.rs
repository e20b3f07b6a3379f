//! What calling a name makes: a tensor, a storage, a tagged container.

use std::io::BufRead;

use super::global::Global;
use super::packed::Packed;
use super::stack::{MAX_DIMENSIONS, MOST_ARGUMENTS, StackFault, Step};
use super::tensor::{Storage, Tensor, is_accelerator};
use super::text::{Text, TypeFault, type_fault};
use super::value::{Tally, ValueKind, ValueSummary};
use super::{Destination, Machine, Witness};
use crate::plain_text::quoted;
use crate::rejection::{Code, Rejection};

impl<R: BufRead, W: Witness> Machine<'_, R, W> {
    /// Calls a name with the value on top of the stack.
    pub(super) fn reduce(&mut self) -> Result<(), Rejection> {
        let [function, argument] = self.pop()?;
        let ValueKind::Global(global) = function.kind else {
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
    fn call(
        &mut self,
        global: Global,
        argument: &ValueSummary,
        arguments: Option<&[ValueSummary]>,
    ) -> Result<ValueSummary, Rejection> {
        match (global, arguments) {
            (Global::TypedList, Some(&[list @ ValueSummary { kind: ValueKind::List { .. }, .. }])) => Ok(list),
            (Global::TypeTag, Some(&[mut value, tag])) => {
                self.check_type_tag(&tag)?;
                value.forget_items();
                Ok(value)
            }
            // The loader makes `None` of it: it stands for hooks, which are never saved.
            (Global::OrderedDict, Some([]))
            | (Global::Complex, Some([_, _]))
            | (Global::Device, Some([_] | [_, _])) => Ok(ValueSummary::leaf(ValueKind::Opaque)),
            // A member of an enumeration: the serializer gives the bare value, not a tuple.
            (Global::Class, _) => {
                let member = ValueSummary::around(ValueKind::Opaque, &Tally::of(&[*argument]));
                self.carried_out(member.map_err(StackFault::from))
            }
            (Global::RebuildTensor, Some(&[storage, offset, sizes, strides, _requires_grad, _hooks, ..])) => {
                self.rebuild_tensor(&storage, &offset, &sizes, &strides)
            }
            _ => Err(self.damaged("calls a name with arguments that do not fit it")),
        }
    }

    fn check_type_tag(&self, tag: &ValueSummary) -> Result<(), Rejection> {
        let Text { id, is_type, .. } = match tag.kind {
            ValueKind::Text(text) => text,
            ValueKind::LongText => return Err(self.refused("has a type tag that is too long or nested too deep")),
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
        storage: &ValueSummary,
        offset: &ValueSummary,
        sizes: &ValueSummary,
        strides: &ValueSummary,
    ) -> Result<ValueSummary, Rejection> {
        let ValueKind::Storage(storage) = storage.kind else {
            return Err(self.damaged("has a tensor without storage"));
        };
        let offset = offset.integer().ok_or_else(|| self.damaged("has a tensor whose offset is no integer"))?;
        let (mut size_store, mut stride_store) = ([0; MAX_DIMENSIONS], [0; MAX_DIMENSIONS]);
        let sizes = self.integers(sizes, &mut size_store)?;
        let strides = self.integers(strides, &mut stride_store)?;
        if sizes.len() != strides.len() {
            return Err(self.damaged(format!("has a tensor with {} sizes and {} strides", sizes.len(), strides.len())));
        }
        let place = Destination { pickle: self.pickle, stack: &self.stack, texts: &self.texts };
        self.witness.tensor(&Tensor { storage, offset, sizes, strides }, &place)?;
        let number = self.tensors;
        // `MAX_OPERATIONS` bounds the tensors.
        self.tensors += 1;
        Ok(ValueSummary::leaf(ValueKind::Tensor(Packed(number))))
    }

    fn integers<'s>(&self, tuple: &ValueSummary, store: &'s mut [i64; MAX_DIMENSIONS]) -> Result<&'s [i64], Rejection> {
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
        let text = |value: ValueSummary| match value.kind {
            ValueKind::Text(text) => Some(self.texts.get(text.id)),
            _ => None,
        };
        let (Some("storage"), ValueKind::Global(Global::StorageType(dtype)), Some(key), Some(device), Some(elements)) =
            (text(kind), storage_type.kind, text(key), text(device), elements.integer())
        else {
            return Err(self.damaged("has a storage whose description is damaged"));
        };
        let Ok(elements) = u64::try_from(elements) else {
            return Err(self.damaged(format!("has a storage of {elements} elements")));
        };
        let on_accelerator = is_accelerator(device).ok_or_else(|| self.unknown_device(device))?;
        let storage = Storage { dtype, on_accelerator, elements: Packed(elements) };
        self.witness.storage(&storage, key)?;
        self.push(ValueKind::Storage(storage));
        Ok(())
    }

    fn unknown_device(&self, device: &str) -> Rejection {
        let tensor = self.tensor_being_built();
        Rejection::new(
            Code::UnsupportedDtype,
            format!(
                "The tensor `{tensor}` was saved on the device {}; `cpu`, `cuda`, `mps` and `xpu` are read.",
                quoted(device)
            ),
        )
        .at(tensor)
        .hint("Call `model.cpu()` before saving the model.")
    }

    /// The name of the tensor to whose arguments the next value belongs.
    fn tensor_being_built(&self) -> String {
        let place = Destination { pickle: self.pickle, stack: &self.stack, texts: &self.texts };
        match place.path().as_slice() {
            [tensor @ .., Step::Index(0)] => place.name_of(tensor),
            path => place.name_of(path),
        }
    }
}
