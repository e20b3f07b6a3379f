//! `secateur worker`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;

use super::serve::WorkOptions;
use super::{CliError, cancelled_by_signals};
use crate::blob::BlobStore;
use crate::database::{Database, Notifications};
use crate::engine::Scratch;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::server::{StartError, run_worker, show_metrics};
use crate::worker::{CHECKPOINT_INTERVAL, Worker, WorkerOptions, new_name};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct WorkerArguments {
    /// The server's Postgres
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
    /// The server's blobs: `s3://bucket/prefix`, or a folder that both can reach
    #[arg(long, env = "SECATEUR_BLOBS", value_name = "URL")]
    blobs: String,
    /// Folder for the files of running tasks [default: in the system's temporary folder]
    #[arg(long, env = "SECATEUR_SCRATCH", value_name = "PATH")]
    scratch: Option<PathBuf>,
    /// End when there was no task for so many seconds, for machines that are rented by the hour and for batch systems [default: never]
    #[arg(long, env = "SECATEUR_EXIT_WHEN_IDLE", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    exit_when_idle: Option<u64>,
    /// Address at which this worker shows its `/metrics` to everyone who reaches it; port 0 takes a free one [default: none]
    #[arg(long, env = "SECATEUR_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    work: WorkOptions,
}

pub(super) async fn work(arguments: WorkerArguments) -> Result<(), CliError> {
    let WorkerArguments { database_url, blobs, scratch, exit_when_idle, metrics_listen, work } = arguments;
    if work.slots == 0 {
        return Err(CliError::new("a worker without slots has nothing to do").hint("Give at least --slots 1."));
    }
    let engine = work.engine.find()?;
    let options =
        PgConnectOptions::from_str(&database_url).map_err(|error| StartError::DatabaseUrl(error.to_string()))?;
    let database = Database::new(options, 4 + 2 * (work.slots as u32 + 1), PATIENCE);
    // The server migrates; a worker of another version must not.
    database.check().await?;
    let blobs = match blobs.starts_with("s3://") {
        true => BlobStore::s3(&blobs),
        false => BlobStore::local(Path::new(&blobs)),
    };
    let blobs = blobs.map_err(CliError::new)?;
    blobs.check_writable().await.map_err(CliError::new)?;
    // A folder of its own with a name that nobody can guess: others may write to the system's temporary folder too.
    let scratch = scratch.unwrap_or_else(std::env::temp_dir);
    let folder = Scratch::create(&scratch, "secateur-worker-")
        .map_err(|error| CliError::new(format!("a folder in {}: {error}", scratch.display())))?;
    let lease = Duration::from_secs(work.lease);
    let mut options = WorkerOptions {
        slots: work.slots,
        engine,
        scratch: folder.path().join("tasks"),
        device: work.engine.device(),
        task_timeout: Duration::from_secs(work.task_timeout),
        heartbeat: lease / 4,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        data_cache_bytes: work.data_cache_bytes,
        keeps_prepared: work.prepared_cache_bytes > 0,
        poll: Duration::from_secs(2),
        exit_when_idle: exit_when_idle.map(Duration::from_secs),
    };
    options.probe_sandbox().await.map_err(StartError::from)?;
    let worker = Worker {
        name: new_name(),
        queue: Queue::new(database.clone(), lease),
        blobs,
        notifications: Notifications::listen(&database),
        metrics: Metrics::new(),
        options,
    };
    let shutdown = cancelled_by_signals();
    if let Some(address) = metrics_listen {
        let failed = |error: std::io::Error| CliError::new(format!("listening on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        super::print(&format!("http://{}/metrics", listener.local_addr().map_err(failed)?));
        let (worker, shutdown) = (worker.clone(), shutdown.clone());
        tokio::spawn(async move { show_metrics(listener, &worker, shutdown).await });
    }
    tracing::info!(slots = work.slots, "working");
    run_worker(worker, shutdown).await;
    Ok(())
}
