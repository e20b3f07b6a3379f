//! A server: API, worker slots and reaper in one process, on its own database or a shared one.
//!
//! Starting goes from the bottom up (data folder, database, migrations, blobs, engine, workers, listener) and stopping
//! from the top down: no new connections, running tasks given back, answers under way finished, database last.

mod data_folder;
mod start;
mod visit;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secateur_core::wire::Device;
use secateur_postgres::{PostgresError, PrivatePostgres};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{HostName, PublicUrl};
use crate::blob::BlobError;
use crate::database::{Database, DatabaseError};
use crate::engine::{EngineBinary, EngineNotFound, ProbeError};
use crate::http::connection::{self, ConnectionLimits};
use crate::metrics::Exposition;
use crate::queue::{LEASE, RETRY_PAUSE};
use crate::quota::Quotas;
use crate::upkeep::Keep;
use crate::webhook::WebhookOptions;
use crate::worker::{CHECKPOINT_INTERVAL, DATA_CACHE_BYTES, PREPARED_CACHE_BYTES, Reaper, Worker};

pub use data_folder::DataFolder;
pub use start::{Backend, connect};
pub use visit::Visit;

/// How long answers under way may take when the server stops.
const TIME_TO_DRAIN: Duration = Duration::from_secs(30);
const TIME_TO_CLOSE: Duration = Duration::from_secs(5);

/// Who may call a server.
#[derive(Debug, Clone, Default)]
pub struct AccessOptions {
    /// Whether callers without a key are let in, while there is none, on a server that is not for this machine alone.
    pub allow_anonymous: bool,
    /// Names that the server answers to beside its own.
    pub hosts: Vec<HostName>,
    /// Where the server is for its callers, when a proxy stands before it.
    pub public_url: Option<PublicUrl>,
    /// Lets in what pages of other origins and other hosts send. For tests that show what is kept out; the command line
    /// has no such option.
    pub unguarded: bool,
    /// Whether everyone who reaches the server sees its metrics.
    pub public_metrics: bool,
}

/// What a server is started with; [`ServerOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub data_folder: PathBuf,
    pub listen: SocketAddr,
    /// A private Postgres in the data folder when there is none.
    pub database_url: Option<String>,
    /// `s3://…`; a folder in the data folder when there is none.
    pub blobs_url: Option<String>,
    pub access: AccessOptions,
    pub max_upload_bytes: u64,
    /// Uploads are refused when less than this would be left on the disk.
    pub reserve_bytes: u64,
    pub connections: ConnectionLimits,
    pub quotas: Quotas,
    pub keep: Keep,
    pub webhooks: WebhookOptions,
    /// Between two rounds of upkeep.
    pub upkeep_interval: Duration,
    pub engine: Option<EngineBinary>,
    pub slots: usize,
    pub device: Device,
    pub task_timeout: Duration,
    pub lease: Duration,
    pub heartbeat: Duration,
    /// The least time between two checkpoints of a task.
    pub checkpoint_interval: Duration,
    /// What data sets of a remote store may take on this machine's disk between tasks.
    pub data_cache_bytes: u64,
    /// What is prepared of data sets may take in the store between jobs; with 0 every job prepares its own.
    pub prepared_cache_bytes: u64,
    pub poll: Duration,
    /// The least time before a task that has failed is tried again.
    pub retry_pause: Duration,
    /// How long a request waits for a database connection before it is answered with 503.
    pub database_patience: Duration,
}

impl ServerOptions {
    pub fn new(data_folder: impl Into<PathBuf>) -> Self {
        Self {
            data_folder: data_folder.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database_url: None,
            blobs_url: None,
            access: AccessOptions::default(),
            max_upload_bytes: 4 << 30,
            reserve_bytes: 256 << 20,
            connections: ConnectionLimits::default(),
            quotas: Quotas::default(),
            keep: Keep::default(),
            webhooks: WebhookOptions::default(),
            upkeep_interval: Duration::from_mins(1),
            engine: None,
            slots: 1,
            device: Device::Auto,
            task_timeout: Duration::from_hours(6),
            lease: LEASE,
            heartbeat: LEASE / 4,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            data_cache_bytes: DATA_CACHE_BYTES,
            prepared_cache_bytes: PREPARED_CACHE_BYTES,
            poll: Duration::from_secs(2),
            retry_pause: RETRY_PAUSE,
            database_patience: Duration::from_secs(3),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data folder {} is used by another server", .0.display())]
    DataFolderInUse(PathBuf),
    #[error("a restore into the data folder {} was not finished", .0.display())]
    RestoreUnfinished(PathBuf),
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
    #[error("the database URL is not valid: {0}")]
    DatabaseUrl(String),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error("callers from elsewhere could reach this server at {0}, and it has no keys to tell them from strangers")]
    NoKeys(SocketAddr),
    #[error(transparent)]
    Engine(#[from] EngineNotFound),
    #[error("the sandbox is required, and cannot be had: {0}")]
    Sandbox(#[from] ProbeError),
}

impl StartError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Postgres(error) => error.hint(),
            Self::DataFolderInUse(_) => Some("Stop the other server, or name another folder with --data-dir."),
            Self::RestoreUnfinished(_) => Some("Delete the folder and restore the backup again."),
            Self::DatabaseUrl(_) => Some("Write DATABASE_URL as postgres://user:password@host:5432/database."),
            Self::Database(DatabaseError::Away(_)) => Some("is DATABASE_URL right, and does the database run?"),
            Self::Engine(_) => Some("build it with `cargo build --bins`, or name it with --engine or SECATEUR_ENGINE"),
            Self::NoKeys(_) => Some("make one with `secateur key create`, or let everyone in with --allow-anonymous"),
            Self::Sandbox(_) => Some("`--sandbox auto` goes on with the layers that there are; the log says which"),
            Self::Io { .. } | Self::Database(_) | Self::Blobs(_) => None,
        }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// A running server. Stop it with [`Server::stop`]; dropping it leaves running tasks to their leases.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    database: Database,
    postgres: Option<PrivatePostgres>,
    stop_working: CancellationToken,
    stop_listening: CancellationToken,
    draining: CancellationToken,
    work: JoinHandle<()>,
    reaper: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    deliverer: JoinHandle<()>,
    listener: JoinHandle<()>,
    _data_folder: DataFolder,
}

impl Server {
    /// Starts everything; when this returns, the server answers.
    pub async fn start(options: ServerOptions) -> Result<Self, StartError> {
        start::start(options).await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Stops everything: running tasks are given back, answers under way finished.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.stop_listening.cancel();
        self.stop_working.cancel();
        self.draining.cancel();
        let _ = self.work.await;
        let _ = self.reaper.await;
        let _ = self.upkeep.await;
        let _ = self.deliverer.await;
        if tokio::time::timeout(TIME_TO_DRAIN, self.listener).await.is_err() {
            tracing::warn!("answers under way were cut off");
        }
        let _ = tokio::time::timeout(TIME_TO_CLOSE, self.database.close()).await;
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
        tracing::info!("stopped");
    }
}

/// Runs a worker alone until `shutdown`, or until it has nothing to do any more.
pub async fn run_worker(worker: Worker, shutdown: CancellationToken) {
    let (queue, stop) = (worker.queue.clone(), shutdown.child_token());
    let interval = queue.lease() / 6;
    let reaper = tokio::spawn(Reaper { queue, worker: worker.enrolment() }.run_until(interval, stop.clone()));
    worker.run(shutdown).await;
    stop.cancel();
    let _ = reaper.await;
}

/// Shows a worker's metrics to whoever asks at a socket, until `shutdown`.
pub async fn show_metrics(listener: TcpListener, worker: &Worker, shutdown: CancellationToken) {
    let exposition = Exposition::of_worker(worker.metrics.clone(), worker.queue.clone(), worker.options.slots);
    connection::serve(listener, crate::http::worker_router(exposition), ConnectionLimits::default(), shutdown).await;
}
