//! What the reader remembers of a value: a summary of sixteen bytes.
//!
//! A container is not kept, only counted: how many values it would hold if none were shared, how deep it is, and for a
//! dictionary whether its keys can be the names of attributes. Nothing else is ever asked of one, except of the small
//! tuples that describe tensors, whose items [`ValueStack`](super::stack::ValueStack) holds until they were used.

use super::global::Global;
use super::packed::Packed;
use super::tensor::Storage;
use super::text::{Text, TextId};
use super::{MAX_DEPTH, MAX_UNSHARED_VALUES};

/// What is remembered of a value: its kind, how deep it is and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueSummary {
    pub kind: ValueKind,
    /// 1 for a value that holds no other.
    depth: u8,
    /// Values in it, itself included, each counted as often as it occurs.
    unshared: u32,
}

/// The memo holds up to a million values, each in a line of its own.
const _: () = assert!(size_of::<ValueSummary>() == 16);

/// The kind of a value, with what the reader may be asked for later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ValueKind {
    /// `None`, a truth value, a float, a device, a complex number, an enumeration member.
    Opaque,
    Integer(Packed<i64>),
    Text(Text),
    /// A text too long to be a name or a type, of which nothing is kept.
    LongText,
    /// A tuple, with its items while they may be arguments.
    Tuple(Option<Items>),
    /// `frozen` once the memo holds it; from then on it does not change.
    List {
        frozen: bool,
    },
    Dict {
        frozen: bool,
        keys: Keys,
    },
    /// An instance of a TorchScript class, `built` once it has its attributes.
    Object {
        frozen: bool,
        built: bool,
    },
    Global(Global),
    Storage(Storage),
    /// The tensors of a pickle are numbered in their order.
    Tensor(Packed<u32>),
}

/// The items of a tuple, in the stack's store of items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Items {
    /// Where the items of its first item start; all from there on goes with the tuple.
    pub base: Packed<u16>,
    pub first: Packed<u16>,
    pub length: u8,
}

/// What the keys of a dictionary are, for the case that they become names of attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Keys {
    Names,
    /// A text that is no name, the first one.
    NoName(TextId),
    NoText,
}

/// Why a container is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Depth,
    UnsharedValues,
}

impl ValueSummary {
    /// A value that holds no other.
    pub(super) fn leaf(kind: ValueKind) -> Self {
        Self { kind, depth: 1, unshared: 1 }
    }

    /// A value that holds `content`.
    pub(super) fn around(kind: ValueKind, content: &Tally) -> Result<Self, Excess> {
        let mut value = Self::leaf(kind);
        value.grow(content)?;
        Ok(value)
    }

    /// Accounts for `content` that is now in this value.
    pub(super) fn grow(&mut self, content: &Tally) -> Result<(), Excess> {
        self.unshared = self.unshared.saturating_add(content.unshared);
        self.depth = self.depth.max(content.depth.saturating_add(1));
        if self.unshared > MAX_UNSHARED_VALUES {
            return Err(Excess::UnsharedValues);
        }
        if self.depth > MAX_DEPTH {
            return Err(Excess::Depth);
        }
        Ok(())
    }

    /// The value as it is from now on: unchangeable, and a tuple without its items.
    pub(super) fn freeze(&mut self) {
        match &mut self.kind {
            ValueKind::List { frozen } | ValueKind::Dict { frozen, .. } | ValueKind::Object { frozen, .. } => {
                *frozen = true;
            }
            _ => {}
        }
    }

    /// Lets the items of a tuple go; of an empty one there are none.
    pub(super) fn forget_items(&mut self) {
        if let ValueKind::Tuple(items @ Some(Items { length: 1.., .. })) = &mut self.kind {
            *items = None;
        }
    }

    /// The number, if the value is an integer.
    pub(super) fn integer(&self) -> Option<i64> {
        match self.kind {
            ValueKind::Integer(integer) => Some(integer.0),
            _ => None,
        }
    }
}

/// Values that were counted one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub count: u32,
    unshared: u32,
    depth: u8,
    /// Of the values at even places, the keys if these are the items of a dictionary.
    pub keys: Keys,
}

impl Tally {
    /// No values.
    pub(super) const NONE: Self = Self { count: 0, unshared: 0, depth: 0, keys: Keys::Names };

    /// The tally of some values.
    pub(super) fn of(values: &[ValueSummary]) -> Self {
        values.iter().fold(Self::NONE, |content, value| content.and(value))
    }

    /// The tally with one more value.
    pub(super) fn and(mut self, value: &ValueSummary) -> Self {
        if self.count.is_multiple_of(2) {
            self.keys = self.keys.and(Keys::of(value));
        }
        self.count += 1;
        self.unshared = self.unshared.saturating_add(value.unshared);
        self.depth = self.depth.max(value.depth);
        self
    }
}

impl Keys {
    fn of(value: &ValueSummary) -> Self {
        match value.kind {
            ValueKind::Text(Text { is_name: true, .. }) => Self::Names,
            ValueKind::Text(Text { id, .. }) => Self::NoName(id),
            _ => Self::NoText,
        }
    }

    /// The first that is no name decides.
    pub(super) fn and(self, later: Self) -> Self {
        if self == Self::Names { later } else { self }
    }
}
