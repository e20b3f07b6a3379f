//! What an archive defines: classes with attributes and methods, named tuples, enumerations and functions.

use std::collections::{HashMap, HashSet};

use super::id::{DefinitionId, FunctionId, TypeId};

/// Where `torch.no_grad` and its like are defined, which scripted programs carry with them.
const GRAD_MODE: &str = "__torch__.torch.autograd.grad_mode.";

/// A method or a free function, by the type of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function {
    pub id: FunctionId,
    pub returns: TypeId,
}

/// The members of a class by their names.
#[derive(Debug, Default)]
pub(super) struct Class<'a> {
    /// Constants too.
    pub attributes: HashMap<&'a str, TypeId>,
    pub methods: HashMap<&'a str, Function>,
}

/// Something that a source file defines under a name.
#[derive(Debug)]
pub(super) enum Definition<'a> {
    /// A module, a plain class or an interface.
    Class(Class<'a>),
    NamedTuple(Vec<(&'a str, TypeId)>),
    Enumeration(HashSet<&'a str>),
    Function(Function),
}

/// All definitions of an archive by their qualified names, `__torch__.torch.nn.modules.conv.Conv2d`.
#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    definitions: Vec<Definition<'a>>,
    ids: HashMap<String, DefinitionId>,
    /// PyTorch's own guards that switch gradients off or on.
    grad_modes: HashSet<DefinitionId>,
    functions: u32,
}

impl<'a> Definitions<'a> {
    /// The new definition; `None` when there is one of that name.
    pub(super) fn add(&mut self, name: String, definition: Definition<'a>) -> Option<DefinitionId> {
        let id = DefinitionId(self.definitions.len() as u32);
        if self.ids.contains_key(&name) {
            return None;
        }
        if name.starts_with(GRAD_MODE) && matches!(definition, Definition::Class(_)) {
            self.grad_modes.insert(id);
        }
        self.ids.insert(name, id);
        self.definitions.push(definition);
        Some(id)
    }

    /// A function with the next number.
    pub(super) fn new_function(&mut self, returns: TypeId) -> Function {
        self.functions += 1;
        Function { id: FunctionId(self.functions - 1), returns }
    }

    /// The definition of a qualified name.
    pub(super) fn find(&self, name: &str) -> Option<DefinitionId> {
        self.ids.get(name).copied()
    }

    /// The definition at a place.
    pub(super) fn get(&self, id: DefinitionId) -> &Definition<'a> {
        &self.definitions[id.0 as usize]
    }

    /// The definition at a place, to be completed.
    pub(super) fn get_mut(&mut self, id: DefinitionId) -> &mut Definition<'a> {
        &mut self.definitions[id.0 as usize]
    }

    /// The number of definitions.
    pub(super) fn len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether it is a guard that switches gradients off or on, the only objects that a program may make.
    pub(super) fn is_grad_mode(&self, id: DefinitionId) -> bool {
        self.grad_modes.contains(&id)
    }

    /// Methods and free functions.
    pub(super) fn functions(&self) -> usize {
        self.functions as usize
    }
}
