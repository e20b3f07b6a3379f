//! The folder of one task.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A new folder in `parent`, which is made when it is not there, closed to everybody else.
    pub fn create(parent: &Path, name: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let closed = Permissions::from_mode(0o700);
        Ok(Self { folder: tempfile::Builder::new().prefix(name).permissions(closed).tempdir_in(parent)? })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
