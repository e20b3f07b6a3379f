//! What can go wrong with a private PostgreSQL, in the operator's words.

use std::path::PathBuf;

use rustix::process::Pid;

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
    /// No folder has a `pg_dump` and `pg_restore` for a server of this version.
    #[error("no pg_dump and pg_restore of PostgreSQL {wanted} or later were found ({found})")]
    NoClient {
        /// The server's major version.
        wanted: u32,
        /// What was found instead.
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
    /// The server that an earlier program left on this cluster cannot be stopped.
    #[error("another PostgreSQL runs on {} and does not stop: {}", .folder.display(), numbers(.processes))]
    Occupied {
        /// The cluster.
        folder: PathBuf,
        /// Its processes that are left.
        processes: Vec<Pid>,
    },
    /// Somebody answers on the cluster's socket whom this program cannot see among the processes: a server in another container.
    #[error("somebody answers on {}{}, and is not among the processes that can be seen from here", .socket.display(), writer(*.process))]
    Answers {
        /// The socket.
        socket: PathBuf,
        /// The process that wrote its lock, by the number that it has where it runs.
        process: Option<Pid>,
    },
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
            Self::NoClient { .. } => Some(
                "install the client programs (`apt-get install postgresql-client`), or name a folder that has them with SECATEUR_PG_BIN",
            ),
            Self::Occupied { .. } => {
                Some("end these processes with `kill -9` as their user or as root, and start again")
            }
            Self::Answers { .. } => Some(
                "a server in another container or on another machine uses this data folder: stop that one, or give this one a folder of its own",
            ),
            Self::NotStarted(said) if said.contains("shared memory block") => Some(
                "processes of an earlier PostgreSQL still use this cluster's memory: end those that `ps -e | grep postgres` shows and that are of \
                 no other server, and start again",
            ),
            Self::NotStarted(said) if said.contains("lock file") => Some(
                "end the process that the lock file names if it is of this cluster, else remove the file, and start again",
            ),
            Self::NotStarted(said) if said.contains("No space left on device") => {
                Some("make room on the disk of the data folder, and start again")
            }
            Self::Program { .. } | Self::NotStarted(_) | Self::Io { .. } => None,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

fn numbers(processes: &[Pid]) -> String {
    let numbers: Vec<String> = processes.iter().map(|pid| format!("process {}", pid.as_raw_nonzero())).collect();
    numbers.join(", ")
}

fn writer(process: Option<Pid>) -> String {
    process.map(|pid| format!(" (its lock names process {})", pid.as_raw_nonzero())).unwrap_or_default()
}
