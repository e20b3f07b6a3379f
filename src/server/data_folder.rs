//! The data folder: where a server keeps what it must not lose. One server at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::StartError;

/// A locked data folder; the lock goes with the process.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder when it is not there, and locks it.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let what = || format!("data folder {}", path.display());
        std::fs::create_dir_all(path).map_err(StartError::io(what()))?;
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
        self.path.join("blobs")
    }

    pub fn staging(&self) -> PathBuf {
        self.path.join("staging")
    }

    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }
}
