//! `secateur serve` and `secateur migrate`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::engine::EngineOptions;
use super::limits::LimitOptions;
use super::webhook::WebhookArguments;
use super::{CliError, cancelled_by_signals};
use crate::access::{HostName, PublicUrl};
use crate::blob::BlobStore;
use crate::server::{self, AccessOptions, DataFolder, Server, ServerOptions};
use crate::worker;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Address of the API; port 0 takes a free one
    #[arg(long, env = "SECATEUR_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    storage: StorageOptions,
    #[command(flatten)]
    blobs: BlobOptions,
    /// Longest model or data set that is taken
    #[arg(long, env = "SECATEUR_MAX_UPLOAD_BYTES", value_name = "BYTES", default_value_t = 4 << 30)]
    max_upload_bytes: u64,
    /// Refuse uploads that would leave less than this on the disk
    #[arg(long, env = "SECATEUR_RESERVE_BYTES", value_name = "BYTES", default_value_t = 256 << 20)]
    reserve_bytes: u64,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    webhooks: WebhookArguments,
    #[command(flatten)]
    work: WorkOptions,
}

/// Who may call. A server on the loopback interface needs no keys.
#[derive(Debug, Args)]
struct AccessArguments {
    /// Let everyone in who reaches the server, as long as it has no keys
    #[arg(long, env = "SECATEUR_ALLOW_ANONYMOUS")]
    allow_anonymous: bool,
    /// A name that the server answers to beside its own, `*` for any; may be given several times
    #[arg(long = "host", env = "SECATEUR_HOSTS", value_name = "NAME", value_delimiter = ',')]
    hosts: Vec<HostName>,
    /// Where callers find the server when a proxy that speaks TLS stands before it, such as https://pruner.example
    #[arg(long, env = "SECATEUR_PUBLIC_URL", value_name = "URL")]
    public_url: Option<PublicUrl>,
    /// Show `/metrics` to everyone who reaches the server; else it asks for a key with the scope `admin`
    #[arg(long, env = "SECATEUR_PUBLIC_METRICS")]
    public_metrics: bool,
}

#[derive(Debug, Args)]
pub(super) struct StorageOptions {
    /// Folder of the private database, blobs and scratch files
    #[arg(long, env = "SECATEUR_DATA_DIR", value_name = "PATH", default_value = "data")]
    pub(super) data_dir: PathBuf,
    /// A Postgres to use [default: a private one in the data folder]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
}

impl StorageOptions {
    /// A variable that is set to nothing names no database.
    pub(super) fn database_url(&self) -> Option<String> {
        self.database_url.clone().filter(|url| !url.is_empty())
    }
}

#[derive(Debug, Args)]
pub(super) struct BlobOptions {
    /// `s3://bucket/prefix` for blobs [default: a folder in the data folder]
    #[arg(long, env = "SECATEUR_BLOBS", value_name = "URL")]
    blobs: Option<String>,
}

impl BlobOptions {
    /// A variable that is set to nothing names no store.
    fn url(&self) -> Option<String> {
        self.blobs.clone().filter(|url| !url.is_empty())
    }

    /// The store that is named, or the folder in the data folder.
    pub(super) fn open(&self, data_dir: &Path) -> Result<BlobStore, CliError> {
        let opened = match self.url() {
            Some(url) => BlobStore::s3(&url),
            None => BlobStore::local(&DataFolder::blobs_in(data_dir)),
        };
        opened.map_err(CliError::new)
    }
}

/// Options of those who run tasks.
#[derive(Debug, Args)]
pub(super) struct WorkOptions {
    /// Tasks of jobs that run at once here, with one inspection beside them; 0 leaves all work to other workers
    #[arg(long, env = "SECATEUR_SLOTS", value_name = "N", default_value_t = 1)]
    pub(super) slots: usize,
    #[command(flatten)]
    pub(super) engine: EngineOptions,
    /// Seconds that a task may run
    #[arg(long, env = "SECATEUR_TASK_TIMEOUT", value_name = "SECONDS", default_value_t = 6 * 3600)]
    pub(super) task_timeout: u64,
    /// Seconds without a sign of life after which a task is given to another worker; the same for all workers
    #[arg(long, env = "SECATEUR_LEASE", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..))]
    pub(super) lease: u64,
    /// Bytes that data sets from `s3://…` may take on this machine's disk between tasks
    #[arg(long, env = "SECATEUR_DATA_CACHE_BYTES", value_name = "BYTES", default_value_t = worker::DATA_CACHE_BYTES)]
    pub(super) data_cache_bytes: u64,
    /// Bytes that samples prepared of data sets may take among the blobs, for later jobs on the same data set; with 0 every job prepares
    /// its own. The same for the server and all workers
    #[arg(long, env = "SECATEUR_PREPARED_CACHE_BYTES", value_name = "BYTES", default_value_t = worker::PREPARED_CACHE_BYTES)]
    pub(super) prepared_cache_bytes: u64,
}

#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    #[command(flatten)]
    storage: StorageOptions,
}

pub(super) async fn serve(arguments: ServeArguments) -> Result<(), CliError> {
    let ServeArguments { listen, access, storage, blobs, max_upload_bytes, reserve_bytes, limits, webhooks, work } =
        arguments;
    let engine = if work.slots > 0 { Some(work.engine.find()?) } else { None };
    let lease = Duration::from_secs(work.lease);
    let shutdown = cancelled_by_signals();
    let options = ServerOptions {
        listen,
        database_url: storage.database_url(),
        access: AccessOptions {
            allow_anonymous: access.allow_anonymous,
            hosts: access.hosts,
            public_url: access.public_url,
            unguarded: false,
            public_metrics: access.public_metrics,
        },
        blobs_url: blobs.url(),
        max_upload_bytes,
        reserve_bytes,
        connections: limits.connections(),
        quotas: limits.quotas(),
        keep: limits.keep(),
        webhooks: webhooks.options(),
        engine,
        data_cache_bytes: work.data_cache_bytes,
        prepared_cache_bytes: work.prepared_cache_bytes,
        slots: work.slots,
        device: work.engine.device(),
        task_timeout: Duration::from_secs(work.task_timeout),
        lease,
        heartbeat: lease / 4,
        ..ServerOptions::new(storage.data_dir)
    };
    let Some(server) = shutdown.run_until_cancelled(Server::start(options)).await else { return Ok(()) };
    let server = server?;
    super::print(&format!("http://{}", server.address()));
    shutdown.cancelled().await;
    server.stop().await;
    Ok(())
}

pub(super) async fn migrate(arguments: MigrateArguments) -> Result<(), CliError> {
    let storage = arguments.storage;
    let folder = DataFolder::open(&storage.data_dir)?;
    let backend = server::connect(&folder, storage.database_url().as_deref(), 0, Duration::from_secs(10)).await?;
    backend.database.close().await;
    if let Some(postgres) = backend.postgres {
        postgres.stop().await;
    }
    eprintln!("the schema is up to date");
    Ok(())
}
