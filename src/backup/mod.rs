//! Backup and restore: a server's database and blobs as one file.
//!
//! The file is a tar: `database.dump` (pg_dump's custom format), `blobs/KEY` for each blob, and last `manifest.json` with the digest of every file, so that
//! a backup that was cut off or damaged is told from a whole one. It is made beside a running server and is of one moment: the database is dumped
//! and the blobs are listed from one snapshot. Blobs are never overwritten, and while a backup is made nobody frees any
//! ([`crate::table::loose_blob::hold_all`]), so every row of the dump finds its blob. Checkpoints of running tasks are the exception: they come
//! along where they are still there, and a task without its checkpoint starts over.
//!
//! A restore goes into a folder that is empty and a database that is empty. Until it has ended a mark in the folder keeps servers from starting on it;
//! when it fails it takes away what it has written. The database is restored in one transaction, checked against the blobs, and migrated.

mod archive;
mod client;
mod make;
mod restore;

use std::io;
use std::path::PathBuf;

use secateur_postgres::PostgresError;
use serde::{Deserialize, Serialize};

use crate::blob::{BlobError, BlobKey};
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::server::StartError;

pub use make::make;
pub use restore::restore;

const DUMP: &str = "database.dump";
const MANIFEST: &str = "manifest.json";
/// Before the keys of blobs.
const BLOBS: &str = "blobs/";
/// Of the file; a later one is refused.
const FORMAT: u32 = 1;

/// Which server.
#[derive(Debug, Clone)]
pub struct Installation {
    pub data_folder: PathBuf,
    pub database_url: Option<String>,
    pub blobs_url: Option<String>,
}

/// What was saved or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub file: PathBuf,
    pub database_bytes: u64,
    pub blobs: usize,
    pub blob_bytes: u64,
    /// Where the blobs are that are not in the file.
    pub blobs_elsewhere: Option<String>,
}

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// Of the program that made it.
    version: String,
    /// RFC 3339.
    made_at: String,
    /// Of the server that was dumped, such as 180001.
    postgres: i32,
    files: Vec<SavedFile>,
    blobs_elsewhere: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedFile {
    name: String,
    bytes: u64,
    sha256: Sha256,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} is there already", .0.display())]
    TargetExists(PathBuf),
    #[error("there is no data folder {}", .0.display())]
    NoDataFolder(PathBuf),
    #[error("the folder {} is not empty", .0.display())]
    FolderNotEmpty(PathBuf),
    #[error("the database is not empty: it has {0} tables")]
    DatabaseNotEmpty(i64),
    #[error("{} is no whole backup: {detail}", .file.display())]
    Damaged { file: PathBuf, detail: String },
    #[error("the blob {0} is missing, to which the database refers")]
    BlobMissing(BlobKey),
    #[error("{program} failed: {said}")]
    Program { program: &'static str, said: String },
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

impl BackupError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TargetExists(_) => {
                Some("Name a file that is not there yet, or a folder, in which the backup gets a name with its time.")
            }
            Self::NoDataFolder(_) => Some(
                "Name the server's folder with --data-dir, and where they are elsewhere its database with --database-url and its blobs with --blobs.",
            ),
            Self::FolderNotEmpty(_) => {
                Some("Restore into a new folder, and start the server on that one with --data-dir.")
            }
            Self::DatabaseNotEmpty(_) => Some("Restore into a database that `createdb` has just made."),
            Self::Damaged { .. } => {
                Some("Nothing was restored. Take another backup; `tar -tf` shows what is in this one.")
            }
            Self::BlobMissing(_) => Some(
                "Something else than Secateur has removed it; without it the job or upload it belongs to is lost. Delete that one first.",
            ),
            Self::Program { .. } => {
                Some("Is there room in the backup's folder, and may the user of the database read every table?")
            }
            Self::Start(error) => error.hint(),
            Self::Database(DatabaseError::Away(_)) => Some("Does the database run?"),
            Self::Database(_) | Self::Blobs(_) | Self::Io { .. } => None,
        }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

impl From<PostgresError> for BackupError {
    fn from(error: PostgresError) -> Self {
        Self::Start(error.into())
    }
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
