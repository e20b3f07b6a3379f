//! Restoring a backup.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secateur_postgres::{ClientPrograms, PrivatePostgres};
use sqlx::postgres::PgConnectOptions;

use super::archive::{Unpacked, unpack};
use super::client::Access;
use super::{BackupError, DUMP, Installation, Summary};
use crate::blob::{BlobKey, BlobStore};
use crate::database::Database;
use crate::server::{DataFolder, StartError};
use crate::table;

const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a server's folder and database of a backup. The folder is empty or not there, and the database is empty.
pub async fn restore(file: &Path, installation: &Installation) -> Result<Summary, BackupError> {
    let data_folder = &installation.data_folder;
    if !is_empty(data_folder).map_err(BackupError::io(data_folder.display().to_string()))? {
        return Err(BackupError::FolderNotEmpty(data_folder.clone()));
    }
    if !file.is_file() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(BackupError::Io { what: file.display().to_string(), error: missing });
    }
    let was_there = data_folder.exists();
    let folder = DataFolder::open(data_folder)?;
    folder.mark_as_unfinished().map_err(BackupError::io("the mark of a restore"))?;
    let restored = restore_into(file, &folder, installation).await;
    let end = match &restored {
        Ok(_) => folder.mark_as_finished(),
        Err(_) => remove(&folder, was_there),
    };
    end.map_err(BackupError::io(data_folder.display().to_string()))?;
    restored
}

/// Whether a folder has nothing in it but what a new file system has, or is not there.
fn is_empty(folder: &Path) -> std::io::Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().all(|entry| entry.file_name() == "lost+found")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes away what a restore has written into a folder that was empty before.
fn remove(folder: &DataFolder, was_there: bool) -> std::io::Result<()> {
    if !was_there {
        return std::fs::remove_dir_all(folder.path());
    }
    for entry in std::fs::read_dir(folder.path())?.flatten().filter(|entry| entry.file_name() != "lost+found") {
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

async fn restore_into(file: &Path, folder: &DataFolder, installation: &Installation) -> Result<Summary, BackupError> {
    let unpacking = {
        let (file, staging) = (file.to_owned(), folder.staging());
        tokio::task::spawn_blocking(move || unpack(&file, &staging))
    };
    let unpacked = unpacking.await.expect("reading a file does not panic")?;
    if let Some(url) = &installation.database_url {
        let options = PgConnectOptions::from_str(url);
        let options = options.map_err(|error| StartError::DatabaseUrl(error.to_string()))?;
        restore_database(&unpacked, options, &Access::by_url(url)).await?;
    } else {
        let postgres = PrivatePostgres::start(folder.path()).await?;
        let options = postgres.options();
        let restored = restore_database(&unpacked, options.clone(), &Access::by_socket(&options)).await;
        postgres.stop().await;
        restored?;
    }
    let store = BlobStore::local(&folder.blobs())?;
    for (key, path) in &unpacked.blobs {
        store.put_file(&BlobKey::from_row(key.clone()), path).await?;
    }
    std::fs::remove_file(&unpacked.dump).map_err(BackupError::io("the unpacked dump"))?;
    let size = |is_dump: bool| {
        let files = unpacked.manifest.files.iter().filter(|saved| (saved.name == DUMP) == is_dump);
        files.map(|saved| saved.bytes).sum()
    };
    Ok(Summary {
        file: file.to_owned(),
        database_bytes: size(true),
        blobs: unpacked.blobs.len(),
        blob_bytes: size(false),
        blobs_elsewhere: unpacked.manifest.blobs_elsewhere,
    })
}

/// Restores the dump, and looks whether every row has its blob before anything is migrated.
async fn restore_database(unpacked: &Unpacked, options: PgConnectOptions, access: &Access) -> Result<(), BackupError> {
    let database = Database::new(options, 2, PATIENCE);
    let restored = async {
        let standing = table::server::standing(database.pool()).await?;
        let tables = table::server::count_tables(database.pool()).await?;
        if tables > 0 {
            return Err(BackupError::DatabaseNotEmpty(tables));
        }
        // The programs that made the dump may be later ones than the server's.
        let oldest = standing.version_number.max(unpacked.manifest.postgres) as u32 / 10_000;
        access.restore(&ClientPrograms::find(oldest)?, &unpacked.dump).await?;
        if unpacked.manifest.blobs_elsewhere.is_none() {
            let saved: BTreeSet<&str> = unpacked.blobs.keys().map(String::as_str).collect();
            for reference in table::blob_reference::list(database.pool()).await? {
                if !reference.may_be_missing && !saved.contains(reference.blob.as_str()) {
                    return Err(BackupError::BlobMissing(reference.blob));
                }
            }
        }
        Ok(database.migrate().await?)
    }
    .await;
    database.close().await;
    restored
}
