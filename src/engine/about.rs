//! What an engine says of itself: its versions, and what it would compute on.

use std::collections::BTreeMap;
use std::path::Path;

use secateur_core::wire::Device;
use serde::Deserialize;

use super::EngineBinary;
use super::probe::{ProbeError, ask};

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct About {
    /// Of the engine and of its libraries, by name.
    pub versions: BTreeMap<String, String>,
    /// `cpu` or `cuda:0`.
    pub device: String,
}

/// Starts an engine with libtorch, confined as for a task, in a folder that is made in `scratch`.
pub async fn about(engine: &EngineBinary, device: Device, scratch: &Path) -> Result<About, ProbeError> {
    ask(engine, "--about", device, scratch).await
}
