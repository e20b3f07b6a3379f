//! What can go wrong with a private PostgreSQL, in the operator's words.

use std::path::PathBuf;

/// Why a private PostgreSQL is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No folder has a usable `postgres` and `initdb`.
    #[error("no PostgreSQL server was found ({looked_at})")]
    NotFound {
        /// The folders that were looked at.
        looked_at: String,
    },
    /// There is a PostgreSQL, and it cannot read the cluster that is there.
    #[error("the cluster in {} is of PostgreSQL {wanted}, and only {found} was found", .folder.display())]
    OtherVersion {
        /// The cluster.
        folder: PathBuf,
        /// The major version that made it.
        wanted: u32,
        /// The major versions that are installed.
        found: String,
    },
    /// A program of PostgreSQL's ended with an error.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The server ended, or did not answer in time; with the end of its log.
    #[error("PostgreSQL did not start: {0}")]
    NotStarted(String),
    /// The server that an earlier program left in this folder cannot be stopped.
    #[error("another PostgreSQL runs in {} and does not stop", .0.display())]
    Occupied(PathBuf),
    /// The operating system refused something.
    #[error("{what}: {error}")]
    Io {
        /// On what.
        what: String,
        /// The system's own error.
        error: std::io::Error,
    },
}

impl PostgresError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some(
                "install one (`apt-get install postgresql`), run scripts/setup-postgres.sh, name its folder with \
                 SECATEUR_PG_BIN, or bring a database with DATABASE_URL",
            ),
            Self::OtherVersion { .. } => Some("name the folder of the old version's programs with SECATEUR_PG_BIN"),
            _ => None,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
