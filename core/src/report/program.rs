//! How the pruned file came about: the user's own program with smaller tensors, or a recording of one run of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::inspection::ExportKind;

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

/// A method beside `forward`, compared as [`OtherSize`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MethodReport {
    /// Its name.
    pub name: String,
    /// Whether it was called; `false` where the inputs of `forward` and what other methods return are not what it takes.
    pub called: bool,
    /// What is wrong with it now, a predicate; `null` when nothing is.
    #[serde(default)]
    pub problem: Option<String>,
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
    /// Other sizes of input that the patched program was checked at; none when the original takes no other.
    #[serde(default)]
    pub other_sizes: Vec<OtherSize>,
    /// The methods beside `forward` that the patched program has.
    #[serde(default)]
    pub methods: Vec<MethodReport>,
    /// What the program has lost, one sentence each.
    #[serde(default)]
    pub lost: Vec<String>,
}
