//! The names that a pickle may use.
//!
//! The list is what PyTorch's serializer writes for tensors, lists, dictionaries, devices, complex numbers, enumerations
//! and TorchScript classes.

use super::tensor::StorageType;

/// A name that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    /// A class or enumeration of the archive's own code.
    Class,
    RebuildTensor,
    StorageType(StorageType),
    OrderedDict,
    /// `build_intlist` and its like: the list itself.
    TypedList,
    /// The first argument, whose type is named by the second.
    TypeTag,
    Complex,
    Device,
}
