//! Pre-flight of an uploaded TorchScript archive, in pure Rust.
use crate::rejection::Rejection;
use std::path::Path;

/// What pre-flight learns about an archive that it lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// Name of the root folder inside the zip.
    pub root: String,
    /// Actual bytes of all records.
    pub bytes: u64,
    /// Tensors in `data.pkl` and `constants.pkl`.
    pub tensors: usize,
}

/// Checks an archive.
pub fn preflight(path: &Path) -> Result<ArchiveSummary, Rejection> {
    let _ = path;
    todo!("pre-flight")
}
