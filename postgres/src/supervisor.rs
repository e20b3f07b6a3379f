//! The thread that starts Postgres, waits for it, and starts it again when it ends by itself.
//!
//! One thread does both because the kernel sends the parent-death signal when the *thread* that started a child ends.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use crate::account::command;
use crate::binaries::Binaries;
use crate::cluster::Cluster;
use crate::error::PostgresError;
use crate::orphans;
use crate::settings::Settings;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const TIME_TO_STOP: Duration = Duration::from_secs(20);
const LONGEST_LOG: u64 = 10 << 20;

/// A supervised server. Dropping it stops the server too.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    log: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Pid>,
    exits: u32,
    stopping: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the lock")
    }
}

impl Supervisor {
    pub(crate) fn start(
        binaries: &Binaries,
        cluster: &Cluster,
        socket_folder: &Path,
        settings: Settings,
    ) -> Result<Self, PostgresError> {
        let (cluster, binaries, socket_folder) = (cluster.clone(), binaries.clone(), socket_folder.to_owned());
        let shared = Arc::new(Shared::default());
        let log = cluster.log();
        let thread = std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn({
                let shared = shared.clone();
                move || {
                    let clear = || orphans::stop(&cluster, &socket_folder);
                    keep_running(&shared, clear, || spawn(&binaries, &cluster, &socket_folder, settings));
                }
            })
            .map_err(PostgresError::io("thread"))?;
        Ok(Self { shared, thread: Some(thread), log })
    }

    /// Whether the server has ended by itself since the start.
    pub(crate) fn has_exited(&self) -> bool {
        self.shared.lock().exits > 0
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(1000)..]).into_owned();
        format!("{} ends with: {}", self.log.display(), tail.trim())
    }

    /// The last line with which the server refused to run.
    pub(crate) fn last_refusal(&self) -> String {
        let tail = self.log_tail();
        tail.lines().rev().find(|line| line.contains("FATAL")).unwrap_or_default().to_owned()
    }

    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Fast shutdown cuts connections and writes a checkpoint; immediate shutdown leaves recovery to the next start.
        for signal in [Signal::INT, Signal::QUIT] {
            let mut state = self.shared.lock();
            state.stopping = true;
            if let Some(pid) = state.running {
                let _ = kill_process(pid, signal);
            }
            self.shared.changed.notify_all();
            let waited = self.shared.changed.wait_timeout_while(state, TIME_TO_STOP, |state| !state.ended);
            if waited.is_ok_and(|(state, _)| state.ended) {
                break;
            }
        }
        let _ = thread.join();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

/// Before every start the cluster is cleared of what the last server left, should that have been killed.
fn keep_running(
    shared: &Shared,
    clear: impl Fn() -> Result<(), PostgresError>,
    spawn: impl Fn() -> std::io::Result<Child>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        if let Err(error) = clear() {
            tracing::error!(%error, hint = error.hint(), "the cluster is not free");
        }
        let mut state = shared.lock();
        if state.stopping {
            break;
        }
        match spawn() {
            Ok(mut child) => {
                state.running = Pid::from_raw(child.id() as i32);
                drop(state);
                let started = std::time::Instant::now();
                let status = child.wait();
                let mut state = shared.lock();
                state.running = None;
                if state.stopping {
                    break;
                }
                state.exits += 1;
                tracing::error!(?status, "postgres ended by itself, starting it again");
                if started.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => {
                state.exits += 1;
                tracing::error!(%error, "postgres cannot be started, trying again");
            }
        }
        let state = shared.lock();
        let _ = shared.changed.wait_timeout_while(state, pause, |state| !state.stopping);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}

fn spawn(binaries: &Binaries, cluster: &Cluster, socket_folder: &Path, settings: Settings) -> std::io::Result<Child> {
    let path = cluster.log();
    let keep = std::fs::metadata(&path).is_ok_and(|log| log.len() <= LONGEST_LOG);
    let log = std::fs::File::options().create(true).append(keep).write(true).truncate(!keep).open(path)?;
    let mut postgres = command(&binaries.postgres(), cluster.account());
    postgres
        .arg("-D")
        .arg(cluster.folder())
        .arg("-k")
        .arg(socket_folder)
        .args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"])
        .args(["-c", &format!("cluster_name={}", cluster.name())])
        .args(settings.of_postgres().into_iter().flat_map(|setting| ["-c".to_owned(), setting]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    die_with_parent(&mut postgres);
    postgres.spawn()
}

/// Has the kernel stop the child when this thread, and so this process, ends.
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::INT))?;
        // The parent may have ended before the call.
        if getppid() == Some(parent) { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it neither allocates nor takes locks. It runs
    // after the change of user, which would clear the signal.
    unsafe { command.pre_exec(before_exec) };
}
