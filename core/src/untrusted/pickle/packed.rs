//! Numbers without alignment, which keep the summary of a value at sixteen bytes.

/// A number that may lie at any address, so that a [`ValueKind`](super::ValueKind) has no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed)]
pub(crate) struct Packed<T: Copy>(pub T);
