//! Places of types, definitions and functions in the lists of them, small enough to be copied everywhere.

/// A type by its place in `Types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TypeId(pub u32);

/// A class or a free function by its place in `Definitions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DefinitionId(pub u32);

/// A method or a free function, numbered in the order of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FunctionId(pub u32);
