//! What PostgreSQL writes into its lock files: `postmaster.pid` in the cluster, and the one beside its socket.

use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// A lock file, one thing a line: process, data folder, start, port, socket folder, address, shared memory. A server that starts has not
/// written all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockFile {
    pub(crate) process: Pid,
    /// The cluster, as its path was when the server started.
    pub(crate) cluster: PathBuf,
    /// When the server started, in seconds since 1970.
    pub(crate) started: Option<i64>,
    pub(crate) socket_folder: Option<PathBuf>,
    /// Key and id of the System V segment that every process of the server is attached to.
    pub(crate) shared_memory: Option<(i64, i64)>,
}

impl LockFile {
    /// The lock file at a path; `None` when there is none, or one that no PostgreSQL has written.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // A standalone server writes its process as a negative number.
        let process: i32 = lines.first()?.parse().ok()?;
        let line = |number: usize| lines.get(number).copied().filter(|line| !line.is_empty());
        let shared_memory = line(6).and_then(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        Some(Self {
            process: Pid::from_raw(process.checked_abs()?)?,
            cluster: PathBuf::from(line(1)?),
            started: line(2).and_then(|line| line.parse().ok()),
            socket_folder: line(4).map(PathBuf::from),
            shared_memory,
        })
    }

    /// Whether it is of the cluster in this folder, and not of the one that the folder is a copy of.
    pub(crate) fn is_of(&self, cluster: &Path) -> bool {
        same_folder(&self.cluster, cluster)
    }
}

/// Whether two paths lead to one folder.
pub(crate) fn same_folder(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_tells_process_cluster_start_socket_and_shared_memory() {
        let text =
            "4711\n/data/postgres/cluster\n1700000000\n5432\n/data/postgres/run\n\n   123456        7\nready   \n";
        let lock = LockFile::parse(text).unwrap();
        assert_eq!(lock.process, Pid::from_raw(4711).unwrap());
        assert_eq!(lock.cluster, Path::new("/data/postgres/cluster"));
        assert_eq!((lock.started, lock.shared_memory), (Some(1_700_000_000), Some((123_456, 7))));
        assert_eq!(lock.socket_folder.as_deref(), Some(Path::new("/data/postgres/run")));
    }

    #[test]
    fn a_server_that_has_just_begun_has_written_the_first_lines_only() {
        let lock = LockFile::parse("-4711\n/cluster\n1700000000\n5432\n").unwrap();
        assert_eq!((lock.process, lock.socket_folder, lock.shared_memory), (Pid::from_raw(4711).unwrap(), None, None));
        for damaged in ["", "\n", "0\n/cluster\n", "pear\n/cluster\n", "4711\n"] {
            assert_eq!(LockFile::parse(damaged), None, "{damaged:?}");
        }
    }
}
