//! The cluster's folder: where it is, how it is made, and who still runs in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::account::{Account, command, hand_over};
use crate::binaries::Binaries;
use crate::error::PostgresError;
use crate::settings::Settings;

/// The superuser of every cluster, and the only user.
pub(crate) const USER: &str = "secateur";
const TIME_TO_STOP: Duration = Duration::from_secs(30);
const TIME_TO_DIE: Duration = Duration::from_secs(10);
/// Where the clusters go of data folders that the account cannot reach, such as one in root's home.
const ELSEWHERE: &str = "/var/lib/secateur";

/// The folder of everything that belongs to the cluster: in the data folder, unless the account cannot get there.
pub(crate) fn place(data_folder: &Path, account: Option<Account>) -> Result<PathBuf, PostgresError> {
    let data_folder = data_folder.canonicalize().map_err(PostgresError::io("data folder"))?;
    let inside = data_folder.join("postgres");
    let place = match account {
        Some(account) if !account.can_enter(&data_folder) => {
            let elsewhere = elsewhere_for(&data_folder);
            std::fs::create_dir_all(&elsewhere).map_err(PostgresError::io(ELSEWHERE))?;
            let _ = std::os::unix::fs::symlink(&elsewhere, &inside);
            tracing::info!(
                folder = %elsewhere.display(),
                "postgres cannot run as root and its user cannot enter the data folder: the cluster is elsewhere"
            );
            elsewhere
        }
        _ => inside,
    };
    std::fs::create_dir_all(&place).map_err(PostgresError::io("cluster folder"))?;
    hand_over(&place, account).map_err(PostgresError::io("cluster folder"))?;
    Ok(place)
}

/// Named by the first eight bytes of the digest of the data folder's path.
fn elsewhere_for(data_folder: &Path) -> PathBuf {
    let digest = Sha256::digest(data_folder.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new(ELSEWHERE).join(name)
}

/// A cluster that may not be there yet.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    place: PathBuf,
    folder: PathBuf,
    account: Option<Account>,
}

impl Cluster {
    pub(crate) fn at(place: &Path, account: Option<Account>) -> Self {
        Self { place: place.to_owned(), folder: place.join("cluster"), account }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.place.join("postgres.log")
    }

    /// The major version that made it; `None` when it is not there yet.
    pub(crate) fn version(&self) -> Result<Option<u32>, PostgresError> {
        match std::fs::read_to_string(self.folder.join("PG_VERSION")) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PostgresError::io("PG_VERSION")(error)),
        }
    }

    /// Makes the cluster beside its place and moves it there, so that a crash leaves none that is half made.
    pub(crate) fn create_unless_there(&self, binaries: &Binaries, settings: Settings) -> Result<(), PostgresError> {
        if self.folder.exists() {
            return Ok(());
        }
        let partial = self.place.join("cluster.partial");
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(PostgresError::io("half-made cluster"))?;
        }
        tracing::info!(folder = %self.folder.display(), "making the postgres cluster");
        let output = command(&binaries.initdb(), self.account)
            .arg("--pgdata")
            .arg(&partial)
            .args(["--username", USER, "--auth-local=trust", "--auth-host=reject"])
            .args(["--encoding=UTF8", "--locale=C", "--data-checksums"])
            .args((!settings.durable).then_some("--no-sync"))
            .output()
            .map_err(PostgresError::io("initdb"))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(PostgresError::Program { program: "initdb", output });
        }
        std::fs::rename(&partial, &self.folder).map_err(PostgresError::io("new cluster"))
    }

    /// Stops what a killed program left running in the cluster, and removes the pid file that it left.
    pub(crate) fn stop_orphans(&self) -> Result<(), PostgresError> {
        let orphans = self.processes();
        if !orphans.is_empty() {
            tracing::warn!(?orphans, "stopping the postgres that an earlier program left running");
        }
        let stopping = [(Signal::INT, TIME_TO_STOP), (Signal::QUIT, TIME_TO_DIE), (Signal::KILL, TIME_TO_DIE)];
        for (signal, patience) in stopping {
            self.signal_postmaster(signal);
            let started = Instant::now();
            while !self.processes().is_empty() && started.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
            if self.processes().is_empty() {
                // Its process id may be somebody else's by now, and then Postgres would refuse to start.
                let _ = std::fs::remove_file(self.folder.join("postmaster.pid"));
                return Ok(());
            }
        }
        Err(PostgresError::Occupied(self.folder.clone()))
    }

    /// SIGKILL goes to all of them: the postmaster cannot end its children then.
    fn signal_postmaster(&self, signal: Signal) {
        let running = self.processes();
        let pid_file = std::fs::read_to_string(self.folder.join("postmaster.pid")).unwrap_or_default();
        let postmaster = pid_file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        for pid in running {
            if signal == Signal::KILL || Some(pid) == postmaster {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Postgres processes of this cluster: every one of them works in the cluster's folder.
    fn processes(&self) -> Vec<Pid> {
        let Ok(folder) = self.folder.canonicalize() else { return Vec::new() };
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        processes
            .flatten()
            .filter(|entry| {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                let works_in = std::fs::read_link(entry.path().join("cwd"));
                name.trim().starts_with("postgres") && works_in.is_ok_and(|works_in| works_in == folder)
            })
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_in_the_data_folder_for_whoever_can_get_there() {
        let data_folder = tempfile::tempdir().unwrap();
        let place = place(data_folder.path(), None).unwrap();
        assert_eq!(place, data_folder.path().canonicalize().unwrap().join("postgres"));
        assert!(place.is_dir());
    }

    /// A server that is brought up to date must find the cluster that it made before.
    #[test]
    fn a_cluster_elsewhere_keeps_its_name() {
        let elsewhere = elsewhere_for(Path::new("/root/secateur/data"));
        assert_eq!(elsewhere, Path::new("/var/lib/secateur/e62f64fd511f3aae"));
    }

    #[test]
    fn a_folder_without_a_cluster_has_no_version_and_no_processes() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::at(folder.path(), None);
        assert_eq!(cluster.version().unwrap(), None);
        assert_eq!(cluster.processes(), []);
        cluster.stop_orphans().unwrap();
    }
}
