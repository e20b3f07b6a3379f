//! What the user can mend: one error type with a stable code, shared by pre-flight, graph, spec and engine.
//!
//! A [`Rejection`] is not tried again: the same input gives the same answer. The one exception is
//! [`Code::WorkerTooNoisy`], which depends on the worker's load; measuring on was its retry already.
//! A rejection's texts are meant for the user: `detail` says what was wrong, with the value, and what
//! is allowed. Our own bugs and the world's accidents (a full disk, a dead process) are not rejections.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::plain_text;

/// Characters of a [`Rejection`]'s texts that are kept and shown.
const LONGEST_DETAIL: usize = 2000;
const LONGEST_NODE: usize = 300;

/// What to do about a quantized model, however it was recognised as one.
pub(crate) const QUANTIZED_HINT: &str =
    "Upload the float32 model and quantize the pruned one: quantized models cannot be pruned.";

/// The stable, documented code of a [`Rejection`]; it is the `code` of the problem document too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    /// The upload is no TorchScript archive (not a zip, a bare pickle, a `state_dict`, another format).
    NotTorchscript,
    /// The archive is TorchScript but breaks a limit or a rule of the pre-flight.
    UnsafeArchive,
    /// The archive is damaged: a record is missing, truncated or contradicts another.
    DamagedArchive,
    /// The model calls an operator outside the allow-list.
    UnsupportedOperator,
    /// The model has something else that the importer does not handle (control flow on data, in-place writes through views).
    UnsupportedModel,
    /// The model's weights have a dtype or a device that is not handled (float16, CUDA storages without a CPU copy).
    UnsupportedDtype,
    /// The input shape is missing, or the model fails on an input of that shape.
    InputShape,
    /// The model takes another number of inputs than shapes were given.
    InputCount,
    /// The data set's file is not `.npz` or `.safetensors`, or is damaged.
    InvalidDataset,
    /// The data set does not fit the model (sample shape, label range, number of classes).
    DatasetMismatch,
    /// The job spec has an unknown field, a value outside its range, or fields that exclude each other.
    InvalidSpec,
    /// The target cannot be reached within the constraints; the detail names the reachable maximum.
    TargetUnreachable,
    /// Nothing in the network can be pruned.
    NothingPrunable,
    /// `max_metric_drop` was exceeded.
    AccuracyDropExceeded,
    /// Times on this worker differ too much from run to run for a latency target.
    WorkerTooNoisy,
    /// The task needed more memory than the worker has.
    OutOfMemory,
    /// The task ran longer than the worker allows.
    TimedOut,
}

/// A permanent refusal of the user's input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, ToSchema)]
#[error("{detail}")]
pub struct Rejection {
    /// Which kind of refusal it is, stable and documented.
    pub code: Code,
    /// What was wrong, with the value, and what is allowed; one or two sentences.
    pub detail: String,
    /// The node of the graph, the tensor or the archive record that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What the user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Rejection {
    /// A rejection without node and hint; `detail` is one or two whole sentences.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), node: None, hint: None }
    }

    /// The same with the node, tensor or record that is at fault.
    #[must_use]
    pub fn at(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// The same with what the user can do about it, an imperative sentence with a full stop.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Fit to be kept and shown: texts of one line and bounded length, without characters that a terminal obeys. What a
    /// rejection says is in part the user's file's own words.
    #[must_use]
    pub fn presentable(self) -> Self {
        let short = |text: String| plain_text::line_within(&text, LONGEST_DETAIL);
        Self {
            code: self.code,
            detail: short(self.detail),
            node: self.node.map(|node| plain_text::line_within(&node, LONGEST_NODE)),
            hint: self.hint.map(short),
        }
    }
}

impl Code {
    /// Every code.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The short, constant title of a problem document with this code.
    pub fn title(self) -> &'static str {
        match self {
            Self::NotTorchscript => "Not a TorchScript model",
            Self::UnsafeArchive => "Archive refused",
            Self::DamagedArchive => "Archive damaged",
            Self::UnsupportedOperator => "Operator not supported",
            Self::UnsupportedModel => "Model not supported",
            Self::UnsupportedDtype => "Data type or device not supported",
            Self::InputShape => "Input shape does not fit",
            Self::InputCount => "Number of inputs does not fit",
            Self::InvalidDataset => "Not a readable data set",
            Self::DatasetMismatch => "Data set does not fit the model",
            Self::InvalidSpec => "Job spec not valid",
            Self::TargetUnreachable => "Target cannot be reached",
            Self::NothingPrunable => "Nothing to prune",
            Self::AccuracyDropExceeded => "Accuracy dropped more than allowed",
            Self::WorkerTooNoisy => "Worker too noisy for a latency target",
            Self::OutOfMemory => "Out of memory",
            Self::TimedOut => "Took too long",
        }
    }

    /// The code as it appears on the wire, `snake_case`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
impl Rejection {
    /// Fails unless what the user reads are whole sentences: from a capital letter or a quoted name to a full stop.
    #[track_caller]
    pub(crate) fn assert_sentences(&self) {
        for text in [Some(&self.detail), self.hint.as_ref()].into_iter().flatten() {
            let begins = text.starts_with(|first: char| first.is_uppercase() || first == '`');
            assert!(begins && text.ends_with('.') && !text.ends_with(".."), "{text:?} is no whole sentence");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_presented_is_short_and_harmless() {
        let rejection = Rejection::new(Code::UnsupportedModel, "x".repeat(1 << 20)).at("a\u{1b}[2Jb").hint("one\ntwo");
        let presentable = rejection.presentable();
        assert_eq!(presentable.detail.chars().count(), LONGEST_DETAIL + 1);
        assert_eq!(presentable.node.as_deref(), Some("a\\u001b[2Jb"));
        assert_eq!(presentable.hint.as_deref(), Some("one\\u000atwo"));
    }
}
