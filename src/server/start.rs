//! Starting, from the bottom up.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secateur_postgres::PrivatePostgres;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use super::{AccessOptions, DataFolder, Server, ServerOptions, StartError};
use crate::access::{Access, HostPolicy, key};
use crate::blob::{BlobStore, Disk, Staging};
use crate::database::{Database, Notifications, retry_while_away};
use crate::event_feed::EventFeeds;
use crate::http::connection::{self, ConnectionLimits, raise_open_files};
use crate::http::{self, App, CookieKind, Entrance, Gate};
use crate::metrics::{Exposition, Metrics};
use crate::queue::Queue;
use crate::readiness::EngineStanding;
use crate::upkeep::Upkeep;
use crate::upload::Uploads;
use crate::upload::resumable::Resumable;
use crate::webhook::{Deliverer, Receivers, Sender};
use crate::worker::{self, Reaper, Worker, WorkerOptions};

/// Connections beside those of the slots: API requests, the listener for notifications, the reaper.
const CONNECTIONS: u32 = 16;
/// Files that are open beside those of the database's connections, the slots and the API's connections.
const OTHER_DESCRIPTORS: usize = 64;
/// Pipes and files of a slot and its engine.
const DESCRIPTORS_OF_A_SLOT: usize = 16;
/// A database that starts beside us gets this long.
const PATIENCE_AT_START: Duration = Duration::from_secs(30);
const PATIENCE_FOR_NOTIFICATIONS: Duration = Duration::from_secs(5);

/// A database with its schema up to date, and the Postgres behind it when it is our own.
#[derive(Debug)]
pub struct Backend {
    pub database: Database,
    pub postgres: Option<PrivatePostgres>,
}

/// Connects to the database that is named, or starts the private one of the data folder, and migrates it.
pub async fn connect(
    folder: &DataFolder,
    database_url: Option<&str>,
    slots: usize,
    patience: Duration,
) -> Result<Backend, StartError> {
    let (options, postgres) = match database_url {
        Some(url) => {
            (PgConnectOptions::from_str(url).map_err(|error| StartError::DatabaseUrl(error.to_string()))?, None)
        }
        None => {
            let postgres = PrivatePostgres::start(folder.path()).await?;
            (postgres.options(), Some(postgres))
        }
    };
    let database = Database::new(options, connections(slots), patience);
    retry_while_away("migrate", PATIENCE_AT_START, || database.migrate()).await?;
    Ok(Backend { database, postgres })
}

/// Every slot, and the one for inspections, needs one for its heartbeats and one for its end.
fn connections(slots: usize) -> u32 {
    CONNECTIONS + 2 * (slots as u32 + 1)
}

/// As many connections to the API as the files that the process may open leave.
fn within_descriptors(limits: ConnectionLimits, slots: usize) -> ConnectionLimits {
    let reserved = OTHER_DESCRIPTORS + connections(slots) as usize + DESCRIPTORS_OF_A_SLOT * slots;
    let descriptors = raise_open_files();
    let limits = limits.within(descriptors, reserved);
    tracing::debug!(descriptors, connections = limits.total, "open files");
    limits
}

struct Opened {
    access: Access,
    entrance: Entrance,
}

/// Refuses a server that strangers can reach and that could not tell them from its callers.
async fn open_access(options: &AccessOptions, address: SocketAddr, database: &Database) -> Result<Opened, StartError> {
    let public_url = options.public_url.clone();
    let public_host = public_url.as_ref().map(|url| url.authority.host.clone());
    let hosts = HostPolicy::new(options.hosts.clone(), public_host, !address.ip().is_loopback());
    let lets_anonymous_in = options.allow_anonymous || hosts.is_loopback_only();
    let needs_keys = key::are_needed(database).await?;
    if !needs_keys && !lets_anonymous_in {
        return Err(StartError::NoKeys(address));
    }
    if !needs_keys && !hosts.is_loopback_only() {
        tracing::warn!(%address, "there are no keys: whoever reaches this server can use it");
    }
    let entrance = match options.unguarded {
        true => Entrance::Unguarded,
        false => Entrance::Guarded(Arc::new(Gate { hosts, public_url })),
    };
    Ok(Opened { access: Access::new(database.clone(), lets_anonymous_in), entrance })
}

pub(super) async fn start(options: ServerOptions) -> Result<Server, StartError> {
    let folder = DataFolder::open(&options.data_folder)?;
    let blobs = match &options.blobs_url {
        Some(url) => BlobStore::s3(url)?,
        None => {
            let blobs = BlobStore::local(&folder.blobs())?;
            blobs.with_reserve(Disk::new(&folder.blobs(), options.reserve_bytes))
        }
    };
    let staging = Staging::open(&folder.staging(), options.max_upload_bytes, options.reserve_bytes)
        .map_err(StartError::io("staging folder"))?;
    let resumable = Resumable::open(&folder.uploads(), options.max_upload_bytes, options.reserve_bytes);
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .map_err(StartError::io(format!("listening on {}", options.listen)))?;
    let address = listener.local_addr().map_err(StartError::io("listening"))?;
    let engine = options.engine.filter(|_| options.slots > 0);
    let mut work = engine.map(|engine| WorkerOptions {
        slots: options.slots,
        engine,
        scratch: folder.scratch(),
        device: options.device,
        task_timeout: options.task_timeout,
        heartbeat: options.heartbeat,
        checkpoint_interval: options.checkpoint_interval,
        data_cache_bytes: options.data_cache_bytes,
        keeps_prepared: options.prepared_cache_bytes > 0,
        poll: options.poll,
        exit_when_idle: None,
    });
    let (sandbox, engine) = match &mut work {
        Some(work) => match work.probe_sandbox().await? {
            Some(sandbox) => (Some(sandbox), EngineStanding::Starts),
            None => (None, EngineStanding::DoesNotStart),
        },
        None => (None, EngineStanding::Elsewhere),
    };

    let Backend { database, postgres } =
        connect(&folder, options.database_url.as_deref(), options.slots, options.database_patience).await?;
    let access = match open_access(&options.access, address, &database).await {
        Ok(access) => access,
        Err(error) => {
            database.close().await;
            if let Some(postgres) = postgres {
                postgres.stop().await;
            }
            return Err(error);
        }
    };
    let queue = Queue::new(database.clone(), options.lease).with_retry_pause(options.retry_pause);
    let notifications = Notifications::listen(&database);
    // So that the server is ready when it answers; if not, it says so and goes on.
    notifications.wait_until_heard(PATIENCE_FOR_NOTIFICATIONS).await;
    let metrics = Metrics::new();
    let (stop_working, stop_listening, draining) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());

    let worker = work.map(|options| Worker {
        name: worker::new_name(),
        queue: queue.clone(),
        blobs: blobs.clone(),
        notifications: notifications.clone(),
        metrics: metrics.clone(),
        options,
    });
    let reaper = Reaper { queue: queue.clone(), worker: worker.as_ref().and_then(Worker::enrolment) };
    let reaper = tokio::spawn(reaper.run_until(options.lease / 6, stop_working.clone()));
    let work = match worker {
        Some(worker) => tokio::spawn(worker.run(stop_working.clone())),
        None => tokio::spawn(async {}),
    };

    let uploads = Uploads { database: database.clone(), blobs: blobs.clone(), quotas: options.quotas };
    let upkeep = Upkeep {
        queue: queue.clone(),
        uploads: uploads.clone(),
        resumable: resumable.clone(),
        blobs: blobs.clone(),
        keep: options.keep,
        prepared_cache_bytes: options.prepared_cache_bytes,
    };
    let receivers = Arc::new(Receivers::new(&options.webhooks.allow));
    let deliverer = Deliverer {
        database: database.clone(),
        notifications: notifications.clone(),
        sender: Arc::new(Sender::new(receivers.clone(), options.webhooks.timeout)),
        at_once: options.webhooks.at_once,
        poll: options.poll,
    };
    let deliverer = tokio::spawn(deliverer.run_until(stop_working.clone()));
    let upkept = tokio::spawn(upkeep.clone().run_until(options.upkeep_interval, stop_working.clone()));
    let metrics = Exposition::of_server(metrics, queue.clone(), options.slots, staging.disk().clone());
    let app = App {
        database: queue.database().clone(),
        queue,
        blobs: blobs.clone(),
        staging,
        uploads,
        resumable,
        upkeep,
        quotas: options.quotas,
        event_feeds: EventFeeds::new(database.clone(), notifications.clone()),
        notifications,
        receivers,
        access: access.access,
        entrance: access.entrance,
        cookie: CookieKind::of(options.access.public_url.as_ref()),
        sandbox,
        engine,
        metrics,
        metrics_are_public: options.access.public_metrics,
        draining: draining.clone(),
    };
    let limits = within_descriptors(options.connections, options.slots);
    let listener = tokio::spawn(connection::serve(listener, http::router(app), limits, stop_listening.clone()));
    tracing::info!(%address, slots = options.slots, "listening");
    Ok(Server {
        address,
        database,
        postgres,
        stop_working,
        stop_listening,
        draining,
        work,
        reaper,
        upkeep: upkept,
        deliverer,
        listener,
        _data_folder: folder,
    })
}
