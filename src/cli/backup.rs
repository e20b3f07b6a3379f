//! `secateur backup` and `secateur restore`

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use super::serve::StorageOptions;
use super::table::grouped;
use crate::backup::{self, BackupError, Installation, Summary};

#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    /// A file that is not there yet, or a folder, in which the backup gets a name with its time
    #[arg(value_name = "FILE|FOLDER")]
    target: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// A backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
}

/// Where a server keeps what it must not lose.
#[derive(Debug, Args)]
struct ServerOptions {
    #[command(flatten)]
    storage: StorageOptions,
    /// `s3://bucket/prefix` where the server's blobs are there; they are not part of the backup [default: a folder in the data folder]
    #[arg(long, env = "SECATEUR_BLOBS", value_name = "URL")]
    blobs: Option<String>,
}

impl ServerOptions {
    fn installation(self) -> Installation {
        Installation {
            database_url: self.storage.database_url(),
            data_folder: self.storage.data_dir,
            blobs_url: self.blobs.filter(|url| !url.is_empty()),
        }
    }
}

pub(super) async fn back_up(arguments: BackupArguments) -> Result<(), CliError> {
    let summary = backup::make(&arguments.server.installation(), &arguments.target).await?;
    tell("saved", &summary);
    super::print(&summary.file.display().to_string());
    Ok(())
}

pub(super) async fn restore(arguments: RestoreArguments) -> Result<(), CliError> {
    let installation = arguments.server.installation();
    let summary = backup::restore(&arguments.file, &installation).await?;
    tell("restored", &summary);
    super::print(&installation.data_folder.display().to_string());
    Ok(())
}

fn tell(done: &str, summary: &Summary) {
    let (database, blobs) = (grouped(summary.database_bytes), grouped(summary.blob_bytes));
    eprintln!("{done}: the database ({database} bytes) and {} blobs ({blobs} bytes)", summary.blobs);
    if let Some(url) = &summary.blobs_elsewhere {
        eprintln!(
            "the blobs in {url} are not part of it: copy the bucket by its own means after each backup, and keep what is deleted there \
             as long as the backup (versioning)"
        );
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(error) }
    }
}
