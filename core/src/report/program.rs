//! How the pruned file came about: the user's own program with smaller tensors, or a recording of one run of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of the two ways a file was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// The archive that was uploaded, with smaller tensors and the `edits`: every method, attribute, extra file and input size
    /// that it had.
    Patched,
    /// A program printed from what one run of `forward` did: input sizes other than the batch are fixed, and other methods,
    /// attributes and options are gone.
    Recorded,
}

/// A place of the program's source text that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgramEdit {
    /// The module whose method it is in, empty for the root.
    pub module: String,
    /// The operator that reads it, `aten::view`.
    pub operator: String,
    /// The argument of the operator.
    pub argument: String,
    /// The text before.
    pub before: String,
    /// The text after.
    pub after: String,
}

/// A size of input that a patched program was run at besides the recorded one, before any fine-tuning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OtherSize {
    /// Shapes of one sample of each input.
    pub shapes: Vec<Vec<i64>>,
    /// Whether it computed what the original program does with the removed input columns at zero; `false` where a normalisation over
    /// cut channels, or rounding, leaves only shapes and types to compare.
    pub values: bool,
}

/// How the pruned file was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgramReport {
    /// Which way.
    pub export: ExportKind,
    /// Why the program could not be patched; `null` when it was.
    #[serde(default)]
    pub reason: Option<String>,
    /// Every change of the source text; `diff` of the two archives' `code/` shows these, and copies of classes of which only
    /// some instances changed.
    #[serde(default)]
    pub edits: Vec<ProgramEdit>,
    /// Another size of input that the patched program was checked at; `null` when the original takes no other.
    #[serde(default)]
    pub other_size: Option<OtherSize>,
    /// What a recorded program has lost, one sentence each.
    #[serde(default)]
    pub lost: Vec<String>,
}
