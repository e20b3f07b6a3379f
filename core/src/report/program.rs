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
    /// What a recorded program has lost, one sentence each.
    #[serde(default)]
    pub lost: Vec<String>,
}
