//! Taking over a cluster that an earlier program left: what still runs on it is stopped, and locks that nobody holds are removed.
//!
//! The caller holds the lock of the data folder, so no other program of ours uses the cluster, and whatever runs on it has lost its program.
//! PostgreSQL takes a lock file as held while *any* process of its user has the number that stands there, which after a restart may be anybody's;
//! so locks are removed here, but only after three looks that find nobody: no process of PostgreSQL's is on this cluster, nobody is attached
//! to the shared memory that its lock names, and nobody answers on its socket. The last two see servers in other containers too.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Cluster;
use crate::error::PostgresError;
use crate::lock_file::LockFile;
use crate::process::{Process, is_attached};
use crate::socket::{lock_of, socket_in};

const TIME_TO_STOP: Duration = Duration::from_secs(30);
const TIME_TO_DIE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// A server writes down its start a moment after the kernel does; between the two the clock may be set.
const SAME_START_S: i64 = 60;

/// Stops what a killed program left running on the cluster, and removes the locks that it left.
///
/// # Errors
/// When something that runs on the cluster does not stop, or cannot be seen from here.
pub(crate) fn stop(cluster: &Cluster, socket_folder: &Path) -> Result<(), PostgresError> {
    let recorded = LockFile::read(&cluster.pid_file()).filter(|lock| lock.is_of(cluster.folder()));
    let orphans = processes(cluster, recorded.as_ref());
    if !orphans.is_empty() {
        tracing::warn!(?orphans, "stopping the postgres that an earlier program left running");
    }
    for (signal, patience) in [(Signal::INT, TIME_TO_STOP), (Signal::QUIT, TIME_TO_DIE), (Signal::KILL, TIME_TO_DIE)] {
        let running = processes(cluster, recorded.as_ref());
        let postmaster = running.iter().find(|process| is_postmaster(process, cluster, recorded.as_ref()));
        match (signal, postmaster) {
            // It ends its children, and removes its locks.
            (Signal::INT | Signal::QUIT, Some(postmaster)) => send(signal, postmaster.pid),
            // Only a postmaster could end them in an orderly way.
            (Signal::INT, None) => continue,
            // What is left has lost its postmaster, or would when it is killed.
            _ => running.iter().for_each(|process| send(signal, process.pid)),
        }
        wait_until(patience, || processes(cluster, recorded.as_ref()).is_empty());
    }
    let left: Vec<Pid> = processes(cluster, recorded.as_ref()).iter().map(|process| process.pid).collect();
    if !left.is_empty() {
        return Err(PostgresError::Occupied { folder: cluster.folder().to_owned(), processes: left });
    }
    remove_locks(cluster, recorded, socket_folder)
}

fn send(signal: Signal, process: Pid) {
    let _ = kill_process(process, signal);
}

/// Waits until something is so; `false` when it takes too long.
fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    true
}

/// The processes of PostgreSQL's that are on this cluster. A server's children work where it works and call themselves after the cluster.
fn processes(cluster: &Cluster, recorded: Option<&LockFile>) -> Vec<Process> {
    let of_postgres = Process::all_of_postgres();
    let own: Vec<Pid> = of_postgres
        .iter()
        .filter(|process| {
            is_postmaster(process, cluster, recorded)
                || process.works_in(cluster.folder())
                || process.is_titled(&cluster.name())
        })
        .map(|process| process.pid)
        .collect();
    let belongs =
        |process: &Process| own.contains(&process.pid) || process.parent().is_some_and(|parent| own.contains(&parent));
    of_postgres.into_iter().filter(belongs).collect()
}

/// Whether a process of PostgreSQL's is the server of this cluster: it was started on it, or its number and its start are those in the lock.
fn is_postmaster(process: &Process, cluster: &Cluster, recorded: Option<&LockFile>) -> bool {
    let is_recorded = recorded.is_some_and(|lock| {
        let starts = process.started().zip(lock.started);
        lock.process == process.pid && starts.is_some_and(|(seen, said)| (seen - said).abs() <= SAME_START_S)
    });
    is_recorded || process.was_started_on(cluster.folder())
}

/// Removes the locks of a cluster on which no process is to be seen.
fn remove_locks(cluster: &Cluster, recorded: Option<LockFile>, socket_folder: &Path) -> Result<(), PostgresError> {
    let memory = recorded.as_ref().and_then(|lock| lock.shared_memory);
    if memory.is_some_and(|memory| !wait_until(TIME_TO_DIE, || !is_attached(memory))) {
        // Whether it is this cluster's stands in the segment itself, which PostgreSQL looks into.
        tracing::warn!(?memory, "somebody is attached to the shared memory of this cluster: its locks stay");
        return Ok(());
    }
    let elsewhere = recorded.as_ref().and_then(|lock| lock.socket_folder.clone());
    let mut folders: Vec<PathBuf> = [socket_folder.to_owned()].into_iter().chain(elsewhere).collect();
    folders.dedup();
    for folder in &folders {
        let socket = socket_in(folder);
        if !wait_until(TIME_TO_DIE, || UnixStream::connect(&socket).is_err()) {
            let process = LockFile::read(&lock_of(&socket)).or_else(|| recorded.clone()).map(|lock| lock.process);
            return Err(PostgresError::Answers { socket, process });
        }
    }
    let socket = socket_in(socket_folder);
    for stale in [cluster.pid_file(), lock_of(&socket), socket] {
        match std::fs::remove_file(&stale) {
            Ok(()) => tracing::info!(file = %stale.display(), "removed what an earlier postgres left"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(PostgresError::io(format!("the stale lock {}", stale.display()))(error)),
        }
    }
    Ok(())
}
