//! The data folder: where a server keeps what it must not lose. One server at a time.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::StartError;

const BLOBS: &str = "blobs";
const STAGING: &str = "staging";
const SCRATCH: &str = "scratch";
/// Uploads that come in pieces; they outlive the server.
const UPLOADS: &str = "uploads";

/// A locked data folder; the lock goes with the process.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder when it is not there, and locks it. Others may pass through it, since the database is another user's when
    /// root runs the server, but neither list it nor enter what else is in it.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let what = || format!("data folder {}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(StartError::io(what()))?;
        }
        make(path, 0o711).map_err(StartError::io(what()))?;
        for part in [BLOBS, STAGING, SCRATCH, UPLOADS] {
            make(&path.join(part), 0o700).map_err(StartError::io(what()))?;
        }
        let path = path.canonicalize().map_err(StartError::io(what()))?;
        let lock = File::options().create(true).append(true).open(path.join("lock"));
        let lock = lock.map_err(StartError::io(what()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::DataFolderInUse(path)),
            Err(TryLockError::Error(error)) => Err(StartError::io(what())(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn blobs(&self) -> PathBuf {
        Self::blobs_in(&self.path)
    }

    /// Where the blobs are of a folder that another process may have.
    pub fn blobs_in(path: &Path) -> PathBuf {
        path.join(BLOBS)
    }

    pub fn staging(&self) -> PathBuf {
        self.path.join(STAGING)
    }

    pub fn uploads(&self) -> PathBuf {
        self.path.join(UPLOADS)
    }

    pub fn scratch(&self) -> PathBuf {
        self.path.join(SCRATCH)
    }
}

/// Makes a folder that is not there; one that is keeps its mode.
fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}
