//! Names of the files in a task's folder. A stage's outputs are later stages' inputs under the same name.

/// The user's TorchScript archive. Read by `import` only.
pub const MODEL: &str = "model.pt";
/// The user's data set, `.npz` or `.safetensors`, told apart by content.
pub const DATASET: &str = "dataset";
/// The imported graph ([`crate::graph::GraphFile`]).
pub const GRAPH: &str = "graph.json";
/// The original tensors by name.
pub const WEIGHTS: &str = "weights.safetensors";
/// Coupled groups, costs and limits of the model ([`crate::report::ModelSummary`]).
pub const SUMMARY: &str = "summary.json";
/// The configurations that the search proposes (a list of [`crate::candidate::Candidate`]).
pub const CANDIDATES: &str = "candidates.json";
/// The pruned TorchScript archive.
pub const PRUNED_MODEL: &str = "pruned.pt";
/// The original, written by the same exporter; for the latency before.
pub const BASE_MODEL: &str = "base.pt";
/// Mean |weight · gradient| of every weight, by the original names.
pub const IMPORTANCE: &str = "importance.safetensors";
/// The trained graph encoder, `w1` and `w2`, with a head `head` and `bias`.
pub const ENCODER: &str = "encoder.safetensors";
/// Inputs at two batch sizes and what the in-memory network answered.
pub const PROBES: &str = "probes.safetensors";
/// What an earlier attempt at the same task left; there only when it left something. Nobody but the engine reads it.
pub const CHECKPOINT: &str = "checkpoint";
pub const REPORT: &str = "report.json";
pub const CONFIG: &str = "config.json";
/// The graph of the pruned network, in the form of GRAPH.
pub const PRUNED_GRAPH: &str = "pruned-graph.json";

/// The tensors of a candidate after surgery and BN recalibration.
pub fn screened(candidate: usize) -> String {
    format!("screened-{candidate}.safetensors")
}

/// The tensors of a candidate after its repair.
pub fn repaired(candidate: usize) -> String {
    format!("repaired-{candidate}.safetensors")
}

/// The tensors of a candidate after its light fine-tune.
pub fn lightly_tuned(candidate: usize) -> String {
    format!("light-{candidate}.safetensors")
}

/// The tensors of a candidate after fine-tuning.
pub fn tuned(candidate: usize) -> String {
    format!("tuned-{candidate}.safetensors")
}
