//! The cluster's folder: where it is, and how it is made.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::{Account, command, hand_over};
use crate::binaries::Binaries;
use crate::error::PostgresError;
use crate::settings::Settings;

/// The superuser of every cluster, and the only user.
pub(crate) const USER: &str = "secateur";
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

fn elsewhere_for(data_folder: &Path) -> PathBuf {
    Path::new(ELSEWHERE).join(short_digest(data_folder))
}

/// The first eight bytes of the digest of a folder's path.
fn short_digest(folder: &Path) -> String {
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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

    /// What its processes call themselves after, so that `ps` and [`crate::orphans`] tell them from others'.
    pub(crate) fn name(&self) -> String {
        format!("secateur {}", short_digest(&self.folder))
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.folder.join("postmaster.pid")
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
    fn a_folder_without_a_cluster_has_no_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Cluster::at(folder.path(), None).version().unwrap(), None);
    }
}
