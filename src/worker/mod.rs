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
mod identity;
mod idle;
mod prepared;
mod reaper;
mod room;
mod slot;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secateur_core::sandbox::{Mode, Sandbox};
use secateur_core::wire::{Device, PROTOCOL};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::blob::BlobStore;
use crate::database::Notifications;
use crate::engine::{self, EngineBinary, ProbeError};
use crate::metrics::Metrics;
use crate::queue::{Capacity, NewWorker, Queue, Share};

use idle::Idle;

pub use reaper::Reaper;

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
    /// The worker ends when it has had no task for so long; `None` when it waits for ever.
    pub exit_when_idle: Option<Duration>,
    /// What data sets of a remote store may take on this machine's disk between tasks.
    pub data_cache_bytes: u64,
    /// Whether what is prepared of a data set is kept for later jobs and taken over from earlier ones.
    pub keeps_prepared: bool,
}

/// What every slot of a worker shares.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its own, without a slash; what stands before the slash in `task.worker`.
    pub name: String,
    pub queue: Queue,
    pub blobs: BlobStore,
    pub notifications: Notifications,
    pub metrics: Metrics,
    pub options: WorkerOptions,
}

impl WorkerOptions {
    /// What a slot has for its task.
    fn capacity(&self) -> Capacity {
        let has_gpu = match self.device {
            Device::Cuda => true,
            Device::Auto => Path::new("/dev/nvidiactl").exists(),
            Device::Cpu => false,
        };
        let memory_bytes = engine::memory_of_this_machine().map(|bytes| bytes / self.slots.max(1) as u64);
        Capacity { has_gpu, memory_bytes }
    }

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

/// A name for a worker that no other has: of the machine, the process, and what chance adds, for people who read `task.worker`.
pub fn new_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "-");
    let mut chance = [0; 3];
    // Without randomness there are still the machine and the process.
    let _ = getrandom::fill(&mut chance);
    let [a, b, c] = chance;
    format!("{host}-{}-{a:02x}{b:02x}{c:02x}", std::process::id())
}

impl Worker {
    /// How it is written down for others of this machine; `None` where it could not be told from another process.
    pub fn enrolment(&self) -> Option<NewWorker> {
        let Capacity { has_gpu, memory_bytes } = self.options.capacity();
        Some(NewWorker {
            name: self.name.clone(),
            process: identity::this_process()?,
            version: env!("CARGO_PKG_VERSION"),
            protocol: PROTOCOL,
            slots: self.options.slots,
            has_gpu,
            memory_bytes,
        })
    }

    /// Runs the slots until `shutdown`, or until it has been idle for long enough; tasks that run then are given back.
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
        let stop = shutdown.child_token();
        let idle = Arc::new(Idle::new());
        let mut slots = JoinSet::new();
        for slot in 0..self.options.slots {
            slots.spawn(slot::run(self.clone(), slot, Share::Jobs, idle.clone(), stop.clone()));
        }
        slots.spawn(slot::run(self.clone(), self.options.slots, Share::Inspections, idle.clone(), stop.clone()));
        if let Some(long_enough) = self.options.exit_when_idle {
            let has_been_idle = stop.run_until_cancelled(idle.lasts(long_enough)).await;
            if has_been_idle.is_some() {
                tracing::info!(?long_enough, "nothing to do for long enough: ending");
                stop.cancel();
            }
        }
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
