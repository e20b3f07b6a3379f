//! Where those who use the shared PostgreSQL meet its keeper: a folder with locks, which go with whoever holds them, however that ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::harness::make_passable;

/// Of the temporary folder; only such a one is removed.
const PREFIX: &str = "secateur-tests-postgres-";

/// - `users`: every test process holds a shared lock on it until it ends.
/// - `door`: whoever comes, starts a keeper or leaves as the keeper does it under this lock, so none comes to a server that stops.
/// - `keeper`: a keeper is started with the lock on it, so one that was killed is told from one that runs.
/// - `folder`: names the temporary folder with the cluster. What a killed keeper left there is never used again.
/// - `log`: what the keeper said.
#[derive(Debug, Clone)]
pub(super) struct Lobby(PathBuf);

impl Lobby {
    pub(super) fn in_folder(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self(folder.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn door(&self) -> File {
        self.lock_file("door")
    }

    pub(super) fn users(&self) -> File {
        self.lock_file("users")
    }

    /// The lock of the next keeper; `None` while there is one.
    pub(super) fn keeper(&self) -> Option<File> {
        let keeper = self.lock_file("keeper");
        match keeper.try_lock() {
            Ok(()) => Some(keeper),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => panic!("{}: {error}", self.0.display()),
        }
    }

    /// The folder of the keeper that runs, or of the last one.
    pub(super) fn folder(&self) -> Option<KeeperFolder> {
        std::fs::read_to_string(self.0.join("folder")).ok().map(|path| KeeperFolder(path.into()))
    }

    pub(super) fn make_folder(&self) {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap().keep();
        // The cluster's user has to pass through.
        make_passable(&folder);
        std::fs::write(self.0.join("folder"), folder.to_str().expect("a temporary folder's name is UTF-8")).unwrap();
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn lock_file(&self, name: &str) -> File {
        File::options().create(true).append(true).open(self.0.join(name)).unwrap()
    }
}

/// The temporary folder of one keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeeperFolder(PathBuf);

impl KeeperFolder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The server's.
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Is there once the server answers, with the keeper's process id.
    pub(super) fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }

    /// Removes it as far as it can be removed now.
    pub(super) fn remove(&self) {
        let is_ours = self.0.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        assert!(is_ours, "{} is none of the tests' folders", self.0.display());
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
