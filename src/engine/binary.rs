//! Where the engine's binary is, what it finds in its environment and how it is confined.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Confinement;

const NAME: &str = "secateur-engine";

/// Variables that an engine keeps: where its libraries are, which GPUs it may use, faults that tests plan.
const KEPT: [&str; 6] = [
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "RUST_BACKTRACE",
    "SECATEUR_ENGINE_FAULT",
    "TZ",
];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the engine was not found at {}", .looked_at.display())]
pub struct EngineNotFound {
    pub looked_at: PathBuf,
}

/// A binary that can be started.
#[derive(Debug, Clone)]
pub struct EngineBinary {
    pub path: PathBuf,
    /// The whole environment but what belongs to one task.
    pub environment: Vec<(OsString, OsString)>,
    pub confinement: Confinement,
}

impl EngineBinary {
    /// The binary at `path`, or else the one that lies beside this program's own.
    pub fn find(path: Option<&Path>) -> Result<Self, EngineNotFound> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => beside_own_executable(),
        };
        if !path.is_file() {
            return Err(EngineNotFound { looked_at: path });
        }
        let environment =
            KEPT.iter().filter_map(|name| std::env::var_os(name).map(|value| (OsString::from(name), value))).collect();
        // The engine is started in another folder.
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Self { path, environment, confinement: Confinement::default() })
    }
}

fn beside_own_executable() -> PathBuf {
    let own = std::env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    own.parent().unwrap_or(Path::new(".")).join(NAME)
}
