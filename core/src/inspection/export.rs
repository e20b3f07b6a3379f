//! How a pruned file comes about, as far as it can be told before a job.

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

/// How a pruned file would be written, found by cutting every group to half its channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedExport {
    /// Which way.
    pub kind: ExportKind,
    /// Why the program could not be patched; `null` when it can.
    #[serde(default)]
    pub reason: Option<String>,
    /// What a recorded program would lack, one sentence each.
    #[serde(default)]
    pub lost: Vec<String>,
}
