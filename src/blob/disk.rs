//! The disk under a folder, and the part of it that is kept free: the database, too, needs room to go on.

use std::path::{Path, PathBuf};

use serde::Serialize;
use utoipa::ToSchema;

/// A folder on a disk of which a reserve is kept free.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: PathBuf,
    reserve_bytes: u64,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Disk)]
pub struct DiskSpace {
    pub free_bytes: u64,
    /// What is kept free: with less, nothing is taken.
    pub reserve_bytes: u64,
}

impl DiskSpace {
    pub fn is_full(self) -> bool {
        self.free_bytes < self.reserve_bytes
    }
}

impl Disk {
    pub fn new(folder: &Path, reserve_bytes: u64) -> Self {
        Self { folder: folder.to_owned(), reserve_bytes }
    }

    pub fn space(&self) -> std::io::Result<DiskSpace> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(DiskSpace { free_bytes, reserve_bytes: self.reserve_bytes })
    }

    /// Whether so many bytes more leave the reserve free.
    pub fn has_room_for(&self, bytes: u64) -> std::io::Result<bool> {
        let space = self.space()?;
        Ok(space.free_bytes >= space.reserve_bytes.saturating_add(bytes))
    }
}
