//! The unix socket of a server, and how to connect to it.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use crate::account::{Account, hand_over};
use crate::cluster::USER;
use crate::error::PostgresError;

/// Only a part of the socket's name: the server listens nowhere else.
const PORT: u16 = 5432;
const LONGEST_SOCKET_PATH: usize = 107;

/// How to connect to a database of the server whose socket is in a folder.
pub(crate) fn options_at(socket_folder: &Path, database: &str) -> PgConnectOptions {
    let host = socket_folder.to_string_lossy();
    PgConnectOptions::new_without_pgpass().host(&host).port(PORT).username(USER).database(database)
}

/// The socket of a server whose socket is in a folder.
pub(crate) fn socket_in(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// The lock file that a server keeps beside its socket.
pub(crate) fn lock_of(socket: &Path) -> PathBuf {
    socket.with_added_extension("lock")
}

/// A folder for the socket, short enough for the 107 bytes that a socket's path may have.
#[derive(Debug)]
pub(crate) enum SocketFolder {
    InCluster(PathBuf),
    Temporary(tempfile::TempDir),
}

impl SocketFolder {
    pub(crate) fn create(place: &Path, account: Option<Account>) -> Result<Self, PostgresError> {
        let folder = place.join("run");
        let socket_folder = if socket_in(&folder).as_os_str().len() <= LONGEST_SOCKET_PATH {
            std::fs::create_dir_all(&folder).map_err(PostgresError::io("socket folder"))?;
            Self::InCluster(folder)
        } else {
            let temporary = tempfile::Builder::new().prefix("secateur-").tempdir();
            Self::Temporary(temporary.map_err(PostgresError::io("socket folder"))?)
        };
        hand_over(socket_folder.path(), account).map_err(PostgresError::io("socket folder"))?;
        Ok(socket_folder)
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::InCluster(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_beside_its_cluster_unless_the_path_is_too_long() {
        let root = tempfile::tempdir().unwrap();
        let near = SocketFolder::create(root.path(), None).unwrap();
        assert_eq!(near.path(), root.path().join("run"));

        let deep = root.path().join("d".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let elsewhere = SocketFolder::create(&deep, None).unwrap();
        let path = elsewhere.path().to_owned();
        assert!(path.is_dir() && !path.starts_with(root.path()), "{}", path.display());
        drop(elsewhere);
        assert!(!path.exists());
    }
}
