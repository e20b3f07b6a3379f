//! Why channels cannot be cut.

use std::fmt;

use crate::graph::Node;

/// A [`Cause`] by its number in the analysis that found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub(super) u32);

impl Reason {
    /// [`Cause::NotAChannel`].
    pub const NOT_A_CHANNEL: Self = Self(0);
    /// [`Cause::DividedDifferently`].
    pub(super) const DIVIDED_DIFFERENTLY: Self = Self(1);
    /// [`Cause::PartlyMerged`].
    pub const PARTLY_MERGED: Self = Self(2);

    /// Whether the user is told of it.
    pub fn is_news(self) -> bool {
        self != Self::NOT_A_CHANNEL
    }
}

/// What keeps channels from being cut. Its text is a clause that completes "`conv1` cannot be pruned: …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Batch and spatial dimensions: no channels at all, and no news to anybody.
    NotAChannel,
    /// Two tensors that must be cut alike divide the same indices differently.
    DividedDifferently,
    /// Two groups share a merged dimension, but not all combinations of their channels occur there.
    PartlyMerged,
    /// The model reads them.
    Input {
        /// Which of the model's inputs, from zero.
        index: usize,
        /// How many inputs the model has.
        inputs: usize,
    },
    /// The model returns them.
    Output,
    /// The model keeps them from one call to the next.
    State,
    /// Another method than `forward` returns them or needs all of them.
    Method {
        /// Its name.
        name: String,
    },
    /// A view mixes them with the batch.
    ReshapedWithBatch,
    /// A view regroups so many positions that they are not followed.
    ReshapedTooLarge {
        /// Positions of the block.
        positions: usize,
    },
    /// What a node does with them forbids it.
    Use {
        /// The node's name.
        node: String,
        /// Its operator, qualified.
        operator: String,
        /// What it does, a verb and its object: `normalises over its channels`.
        verb: &'static str,
    },
    /// They meet a node that no channel can pass.
    Blocked {
        /// The node's name.
        node: String,
        /// Why the channel rule of the node's operator does not apply.
        why: String,
    },
}

impl Cause {
    /// A node does something with the channels that forbids a cut.
    pub fn by(node: &Node, verb: &'static str) -> Self {
        Self::Use { node: node.name.clone(), operator: node.op.clone(), verb }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAChannel => f.write_str("this dimension holds no channels"),
            Self::DividedDifferently => f.write_str("tensors that must be cut alike divide its channels differently"),
            Self::PartlyMerged => {
                f.write_str("its channels share a dimension with others that they meet in some combinations only")
            }
            Self::Input { inputs: 1, .. } => f.write_str("its channels are the channels of the model's input"),
            Self::Input { index, .. } => write!(f, "its channels are the channels of input {index} of the model"),
            Self::Output => f.write_str("the model returns its channels"),
            Self::State => f.write_str("the model keeps its channels from one call to the next"),
            Self::Method { name } => write!(f, "the method `{name}` returns its channels or needs all of them"),
            Self::ReshapedWithBatch => f.write_str("its channels are reshaped together with the batch"),
            Self::ReshapedTooLarge { positions } => {
                write!(f, "its channels are reshaped in a block of {positions} positions, too many to follow")
            }
            Self::Use { node, operator, verb } => write!(f, "node `{node}` ({operator}) {verb}"),
            Self::Blocked { node, why } => write!(f, "at node `{node}`, {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_completes_the_sentence_that_a_layer_cannot_be_pruned() {
        let sentence = |cause: Cause| format!("`conv1` cannot be pruned: {cause}.");
        assert_eq!(
            sentence(Cause::Input { index: 0, inputs: 1 }),
            "`conv1` cannot be pruned: its channels are the channels of the model's input."
        );
        assert_eq!(
            sentence(Cause::Input { index: 1, inputs: 2 }),
            "`conv1` cannot be pruned: its channels are the channels of input 1 of the model."
        );
        let blocked = Cause::Blocked { node: "tril_1".to_owned(), why: "the operator has no rule".to_owned() };
        assert_eq!(sentence(blocked), "`conv1` cannot be pruned: at node `tril_1`, the operator has no rule.");
    }
}
