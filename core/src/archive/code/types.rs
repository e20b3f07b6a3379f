//! What the annotations of source text say about values, as far as it tells which class a value has.

use std::collections::HashMap;

use super::id::{DefinitionId, TypeId};

/// What is known of a value from its annotation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Type<'a> {
    /// A tensor, a number or anything else that is no object of the archive's own classes.
    Other,
    /// A class, interface, enumeration or named tuple of the archive, by its qualified name.
    Named(&'a str),
    /// The class itself, which `self` has without an annotation.
    Object(DefinitionId),
    /// A list, or a dictionary, of values of this type.
    Elements(TypeId),
    Tuple(Vec<TypeId>),
    /// A text that the program gives or makes of such, of less than two to this power bytes.
    Text(u32),
}

/// All types of an archive, each once.
#[derive(Debug)]
pub(super) struct Types<'a> {
    types: Vec<Type<'a>>,
    ids: HashMap<Type<'a>, TypeId>,
}

impl<'a> Types<'a> {
    /// The place of [`Type::Other`].
    pub(super) const OTHER: TypeId = TypeId(0);

    /// A list with [`Type::Other`] alone.
    pub(super) fn new() -> Self {
        Self { types: vec![Type::Other], ids: HashMap::from([(Type::Other, Self::OTHER)]) }
    }

    /// The place of a type, which is added unless it is there.
    pub(super) fn add(&mut self, new: Type<'a>) -> TypeId {
        if let Some(&id) = self.ids.get(&new) {
            return id;
        }
        let id = TypeId(self.types.len() as u32);
        self.types.push(new.clone());
        self.ids.insert(new, id);
        id
    }

    /// The type at a place.
    pub(super) fn get(&self, id: TypeId) -> &Type<'a> {
        &self.types[id.0 as usize]
    }

    /// The power of two below which the bytes of a known text are.
    pub(super) fn text_bits(&self, of: TypeId) -> Option<u32> {
        match *self.get(of) {
            Type::Text(bits) => Some(bits),
            _ => None,
        }
    }

    /// A type that is made of others: `Optional[T]` is `T` here, since a value of it is used as a `T` after a cast.
    pub(super) fn generic(&mut self, name: &str, arguments: Vec<TypeId>) -> TypeId {
        match (name, arguments.as_slice()) {
            ("Optional" | "Final", &[inner]) => inner,
            ("List" | "Dict", &[.., element]) if element != Self::OTHER => self.add(Type::Elements(element)),
            ("Tuple", elements) if elements.iter().any(|&element| element != Self::OTHER) => {
                self.add(Type::Tuple(arguments))
            }
            _ => Self::OTHER,
        }
    }
}
