//! Coupled channel groups: which channels of which tensors must be cut together.
//!
//! [`analysis`] walks the graph once and lets every [`crate::operator`] say how the dimensions of its operands relate. It
//! tracks *elements*: each index of each dimension of each tensor is one element, and operators unify elements that must
//! live or die together (an addition unifies them pairwise), list them again (concatenation, flattening), or freeze
//! them with a reason (a model output). This is the transitive closure of Torch-Pruning's dependency graph, at the
//! level of single channels, so that concatenation, slicing, channel shuffles and flattening need no special case.
//!
//! An element is kept while all of its *atoms* are ([`crate::axes`]); an index of `heads · head_dim` has two. An atom is a
//! *channel*; the channels that cut the same axes of the same tensors the same number of times form a [`Group`].
//! Frozen channels never appear in a group; they are listed with their reason.

mod analysis;
mod build;
mod channel_axes;
mod width;

pub use analysis::held_channels;
pub use build::{Frozen, Group, Grouping, Member, Owner, Place};
pub use channel_axes::ChannelAxes;
pub use width::{Width, WidthTerm};
