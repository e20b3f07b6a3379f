//! Making a backup.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secateur_postgres::{ClientPrograms, PrivatePostgres};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, PgTransaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::archive::Writer;
use super::client::Access;
use super::{BLOBS, BackupError, DUMP, FORMAT, Installation, Manifest, Summary};
use crate::blob::{BlobError, BlobStore};
use crate::server::{DataFolder, StartError};
use crate::table;

/// A dump may take hours; nothing cuts the connection that holds its snapshot.
const NO_LIMITS: [(&str, &str); 2] = [("idle_in_transaction_session_timeout", "0"), ("statement_timeout", "0")];

/// Saves a server's database and blobs into a file that is not there yet, or into a new file in a folder.
pub async fn make(installation: &Installation, target: &Path) -> Result<Summary, BackupError> {
    let target = name_target(target)?;
    let source = Source::open(installation).await?;
    let made = save(installation, &source, target).await;
    source.close().await;
    made
}

fn name_target(target: &Path) -> Result<PathBuf, BackupError> {
    if target.is_dir() {
        let now = OffsetDateTime::now_utc();
        let (date, (hour, minute, second)) = (now.date(), now.to_hms());
        return Ok(target.join(format!("secateur-{date}T{hour:02}-{minute:02}-{second:02}Z.tar")));
    }
    match target.exists() {
        true => Err(BackupError::TargetExists(target.to_owned())),
        false => Ok(target.to_owned()),
    }
}

/// The database, wherever it is. It is not migrated: it is saved as it is.
struct Source {
    options: PgConnectOptions,
    access: Access,
    /// Started for the backup, where no server runs; with the lock of the folder.
    started: Option<(PrivatePostgres, DataFolder)>,
}

impl Source {
    async fn open(installation: &Installation) -> Result<Self, BackupError> {
        let Installation { data_folder, database_url, .. } = installation;
        if let Some(url) = database_url {
            let options = PgConnectOptions::from_str(url);
            let options = options.map_err(|error| StartError::DatabaseUrl(error.to_string()))?;
            return Ok(Self { options, access: Access::by_url(url), started: None });
        }
        if !data_folder.join("postgres").exists() {
            return Err(BackupError::NoDataFolder(data_folder.clone()));
        }
        let (options, started) = match DataFolder::open(data_folder) {
            Ok(folder) => {
                let postgres = PrivatePostgres::start(folder.path()).await?;
                (postgres.options(), Some((postgres, folder)))
            }
            Err(StartError::DataFolderInUse(folder)) => (PrivatePostgres::options_of_running(&folder)?, None),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { access: Access::by_socket(&options), options, started })
    }

    async fn close(self) {
        if let Some((postgres, _)) = self.started {
            postgres.stop().await;
        }
    }
}

async fn save(installation: &Installation, source: &Source, target: PathBuf) -> Result<Summary, BackupError> {
    let options = source.options.clone().application_name("secateur backup").options(NO_LIMITS);
    let mut connection = PgConnection::connect_with(&options).await?;
    let standing = table::server::standing(&mut connection).await?;
    let programs = ClientPrograms::find(standing.version_number as u32 / 10_000)?;
    // As long as the connection stands.
    table::loose_blob::hold_all(&mut connection).await?;
    let mut transaction = connection.begin_with("begin isolation level repeatable read, read only").await?;
    let saved = save_snapshot(installation, source, &programs, &mut transaction, target, standing.version_number).await;
    let _ = transaction.rollback().await;
    let _ = connection.close().await;
    saved
}

async fn save_snapshot(
    installation: &Installation,
    source: &Source,
    programs: &ClientPrograms,
    transaction: &mut PgTransaction<'_>,
    target: PathBuf,
    postgres: i32,
) -> Result<Summary, BackupError> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let failed = || BackupError::io(format!("the backup's folder {}", folder.display()));
    let aside = tempfile::Builder::new().prefix(".secateur-backup-").tempdir_in(&folder).map_err(failed())?;
    let snapshot = table::server::export_snapshot(&mut **transaction).await?;
    let dump = aside.path().join(DUMP);
    source.access.dump(programs, &snapshot, &dump).await?;

    let mut files = vec![(DUMP.to_owned(), dump)];
    if installation.blobs_url.is_none() {
        let folder = installation.data_folder.join("blobs");
        if !folder.is_dir() {
            return Err(BackupError::NoDataFolder(installation.data_folder.clone()));
        }
        let store = BlobStore::local(&folder)?;
        for reference in table::blob_reference::list(&mut **transaction).await? {
            match store.lend(&reference.blob, None).await {
                Ok(Some(loan)) => files.push((format!("{BLOBS}{}", reference.blob), loan.path().to_owned())),
                Ok(None) => unreachable!("a folder lends everything"),
                Err(BlobError::NotFound(_)) if reference.may_be_missing => {}
                Err(BlobError::NotFound(_)) => return Err(BackupError::BlobMissing(reference.blob)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let elsewhere = installation.blobs_url.clone();
    let partial = aside.path().join("backup.tar");
    let writing = {
        let (partial, target, elsewhere) = (partial.clone(), target.clone(), elsewhere.clone());
        tokio::task::spawn_blocking(move || write(&files, &partial, &target, postgres, elsewhere))
    };
    let manifest = writing.await.expect("writing a file does not panic")?;
    let (dumps, blobs): (Vec<_>, Vec<_>) = manifest.files.into_iter().partition(|file| file.name == DUMP);
    Ok(Summary {
        file: target,
        database_bytes: dumps.iter().map(|file| file.bytes).sum(),
        blobs: blobs.len(),
        blob_bytes: blobs.iter().map(|file| file.bytes).sum(),
        blobs_elsewhere: elsewhere,
    })
}

/// Writes the file aside and gives it its name when it is whole.
fn write(
    files: &[(String, PathBuf)],
    partial: &Path,
    target: &Path,
    postgres: i32,
    blobs_elsewhere: Option<String>,
) -> Result<Manifest, BackupError> {
    let failed = |what: &Path| BackupError::io(what.display().to_string());
    let file = File::options().write(true).create_new(true).mode(0o600).open(partial).map_err(failed(partial))?;
    let mut writer = Writer::new(file);
    for (name, path) in files {
        match writer.add(name, path) {
            // A checkpoint whose task has ended meanwhile; nothing of it is in the file yet, since opening it failed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && name != DUMP => {
                tracing::debug!(name, "a checkpoint is gone");
            }
            added => added.map_err(BackupError::io(name.clone()))?,
        }
    }
    let manifest = writer.finish(|files| Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: OffsetDateTime::now_utc().format(&Rfc3339).expect("the present is within RFC 3339's years"),
        postgres,
        files,
        blobs_elsewhere,
    });
    let manifest = manifest.map_err(failed(partial))?;
    if target.exists() {
        return Err(BackupError::TargetExists(target.to_owned()));
    }
    std::fs::rename(partial, target).map_err(failed(target))?;
    Ok(manifest)
}
