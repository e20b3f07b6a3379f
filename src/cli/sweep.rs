//! `secateur sweep`

use std::time::Duration;

use clap::Args;

use super::serve::{BlobOptions, StorageOptions};
use super::{CliError, print};
use crate::server::Visit;
use crate::upkeep::sweep;

#[derive(Debug, Args)]
pub(super) struct SweepArguments {
    #[command(flatten)]
    storage: StorageOptions,
    #[command(flatten)]
    blobs: BlobOptions,
    /// Leave blobs alone that were stored less than so many hours ago: their rows may be on the way
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    older_than: u32,
}

/// Says what was found; what is lost is an error.
pub(super) async fn run(arguments: SweepArguments) -> Result<(), CliError> {
    let SweepArguments { storage, blobs, older_than } = arguments;
    let blobs = blobs.open(&storage.data_dir)?;
    let visit = Visit::to(&storage.data_dir, storage.database_url().as_deref()).await?;
    let swept = sweep(visit.database(), &blobs, Duration::from_hours(older_than.into())).await;
    visit.end().await;
    let swept = swept.map_err(CliError::new)?;
    print(&format!("{} blobs, {} that no row refers to: the server frees them", swept.blobs, swept.loose));
    for lost in &swept.lost {
        print(&format!("lost: {} {}", lost.kind, lost.blob));
    }
    match swept.lost.len() {
        0 => Ok(()),
        lost => Err(CliError::new(format!("{lost} rows refer to blobs that are not there"))
            .hint("Put them back from a backup, or delete the jobs, models and data sets that they belong to.")),
    }
}
