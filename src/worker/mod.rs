//! Workers: slots that take tasks from the queue and run them in engine processes.
//!
//! Jobs have the slots that the operator asked for; inspections have one beside them. So an upload that hangs holds up other
//! inspections for a minute and no job, and a job of hours holds up no inspection.
//!
//! A slot is one loop: claim, run, tell the queue how it ended. While the engine runs, heartbeats keep the lease; when
//! the database is away they are tried again and the engine goes on. Cancellation, a lost lease and shutdown stop the
//! engine. A crash of the whole worker loses nothing but the work since the last checkpoint: the lease runs out and the task is
//! queued again.

mod attempt;
mod checkpoints;
mod heartbeats;
mod prepared;
mod reaper;
mod slot;

use std::path::PathBuf;
use std::time::Duration;

use secateur_core::sandbox::{Mode, Sandbox};
use secateur_core::wire::Device;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::blob::BlobStore;
use crate::database::Notifications;
use crate::engine::{self, EngineBinary, ProbeError};
use crate::metrics::Metrics;
use crate::queue::{Queue, Share};

pub use reaper::reap_until;

/// The folder of data sets among those of the tasks.
const DATA_CACHE: &str = "data";

/// What those data sets take on the disk when nobody says otherwise: 20 GiB.
pub const DATA_CACHE_BYTES: u64 = 20 << 30;

/// What is prepared of data sets takes in the store between jobs when nobody says otherwise: 20 GiB.
pub const PREPARED_CACHE_BYTES: u64 = 20 << 30;

/// A crash costs a task no more than about this.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_mins(1);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Of jobs; the one for inspections comes on top.
    pub slots: usize,
    pub engine: EngineBinary,
    /// Parent of the tasks' folders; emptied at the start.
    pub scratch: PathBuf,
    pub device: Device,
    /// No task runs longer.
    pub task_timeout: Duration,
    /// Time between two heartbeats; a third of the lease at most.
    pub heartbeat: Duration,
    /// The least time between two checkpoints of a task.
    pub checkpoint_interval: Duration,
    /// Time between two looks for work when no hint comes.
    pub poll: Duration,
    /// What data sets of a remote store may take on this machine's disk between tasks.
    pub data_cache_bytes: u64,
    /// Whether what is prepared of a data set is kept for later jobs and taken over from earlier ones.
    pub keeps_prepared: bool,
}

/// What every slot of a worker shares.
#[derive(Debug, Clone)]
pub struct Worker {
    pub queue: Queue,
    pub blobs: BlobStore,
    pub notifications: Notifications,
    pub metrics: Metrics,
    pub options: WorkerOptions,
}

impl WorkerOptions {
    /// What the machine can confine, with a line in the log; `None` when an engine does not start to tell.
    ///
    /// # Errors
    /// When the sandbox is required and the machine cannot have it.
    pub async fn probe_sandbox(&mut self) -> Result<Option<Sandbox>, ProbeError> {
        self.engine.confinement.engines = self.slots;
        match engine::probe(&self.engine, self.device, &self.scratch).await {
            Ok(sandbox) => {
                let (mode, layers, reasons) = (sandbox.mode, sandbox.layers.join(", "), &sandbox.reasons);
                match sandbox.has("landlock") && sandbox.has("seccomp") {
                    true => tracing::info!(?mode, layers, ?reasons, "engines are confined"),
                    false => tracing::warn!(?mode, layers, ?reasons, "engines are not confined as they should be"),
                }
                Ok(Some(sandbox))
            }
            Err(error) if self.engine.confinement.mode == Mode::Require => Err(error),
            Err(error) => {
                tracing::warn!(%error, "how engines are confined is not known");
                Ok(None)
            }
        }
    }
}

impl Worker {
    /// Runs the slots until `shutdown`; tasks that run then are given back.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if let Err(error) = std::fs::remove_dir_all(&self.options.scratch)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.options.scratch.display(), %error, "scratch folder could not be emptied");
        }
        let copies = self.options.scratch.join(DATA_CACHE);
        match self.blobs.clone().with_copies(&copies, self.options.data_cache_bytes) {
            Ok(blobs) => self.blobs = blobs,
            Err(error) => tracing::warn!(folder = %copies.display(), %error, "every task copies its data set"),
        }
        let mut slots = JoinSet::new();
        for slot in 0..self.options.slots {
            slots.spawn(slot::run(self.clone(), slot, Share::Jobs, shutdown.clone()));
        }
        slots.spawn(slot::run(self.clone(), self.options.slots, Share::Inspections, shutdown.clone()));
        while let Some(end) = slots.join_next().await {
            if let Err(error) = end {
                tracing::error!(%error, "worker slot panicked");
            }
        }
    }

    /// Compute threads of one engine: the machine's cores divided among the slots.
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / self.options.slots.max(1)).max(1)
    }
}
