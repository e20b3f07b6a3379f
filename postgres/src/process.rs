//! What `/proc` tells of PostgreSQL's processes.
//!
//! Where another user's process works (`cwd`) is hidden from a program without `CAP_SYS_PTRACE`, and a container's root has none. Its name, its
//! command line, its parent and its start are open to everyone.

use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::lock_file::same_folder;

/// A process as `/proc` shows it; it may end at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    folder: PathBuf,
}

impl Process {
    pub(crate) fn of(pid: Pid) -> Self {
        Self { pid, folder: Path::new("/proc").join(pid.as_raw_nonzero().to_string()) }
    }

    /// Every process named `postgres` that has not ended; one that nobody has waited for yet has.
    pub(crate) fn all_of_postgres() -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let processes = numbers.filter_map(Pid::from_raw).map(Self::of);
        processes.filter(|process| process.is_of_postgres() && process.runs()).collect()
    }

    fn is_of_postgres(&self) -> bool {
        // `postgres`, and `postmaster` where that is what was started.
        ["postgres", "postmaster"].iter().any(|name| self.read("comm").trim().starts_with(name))
    }

    /// Whether it has not ended: what is left of a process that nobody has waited for is no process.
    pub(crate) fn runs(&self) -> bool {
        self.stat(0).is_some_and(|state| !matches!(state.as_str(), "Z" | "X"))
    }

    /// Whether it works in a folder, as far as this program may see that.
    pub(crate) fn works_in(&self, folder: &Path) -> bool {
        std::fs::read_link(self.folder.join("cwd")).is_ok_and(|works_in| same_folder(&works_in, folder))
    }

    /// Whether it was started with `-D` and a folder.
    pub(crate) fn was_started_on(&self, folder: &Path) -> bool {
        let line = self.read("cmdline");
        let arguments: Vec<&str> = line.split('\0').collect();
        arguments.windows(2).any(|pair| pair[0] == "-D" && same_folder(Path::new(pair[1]), folder))
    }

    /// Whether it calls itself a process of the cluster of this name.
    pub(crate) fn is_titled(&self, cluster_name: &str) -> bool {
        self.read("cmdline").starts_with(&format!("postgres: {cluster_name}: "))
    }

    pub(crate) fn parent(&self) -> Option<Pid> {
        self.stat(1)?.parse().ok().and_then(Pid::from_raw)
    }

    /// When it started, in seconds since 1970 by today's clock.
    pub(crate) fn started(&self) -> Option<i64> {
        let boot = std::fs::read_to_string("/proc/stat").ok()?;
        let boot: i64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let ticks: i64 = self.stat(19)?.parse().ok()?;
        Some(boot + ticks / rustix::param::clock_ticks_per_second() as i64)
    }

    /// A field of `stat` after the name, which may hold spaces and brackets: 0 is the state, 1 the parent, 19 the start.
    fn stat(&self, field: usize) -> Option<String> {
        let text = self.read("stat");
        text.rsplit_once(')')?.1.split_whitespace().nth(field).map(str::to_owned)
    }

    fn read(&self, file: &str) -> String {
        let bytes = std::fs::read(self.folder.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Whether any process is attached to a System V segment.
pub(crate) fn is_attached((key, id): (i64, i64)) -> bool {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    table.lines().skip(1).any(|line| {
        let numbers: Vec<i64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        // key, shmid, perms, size, cpid, lpid, nattch; the kernel shows the key as a signed number.
        matches!(numbers.as_slice(), [of, is, _, _, _, _, attached, ..]
            if *of as i32 == key as i32 && *is == id && *attached > 0)
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn this_process_is_known_by_its_folder_its_parent_and_its_start() {
        let own = Process::of(rustix::process::getpid());
        assert!(own.runs() && own.works_in(&std::env::current_dir().unwrap()));
        assert_eq!(own.parent(), rustix::process::getppid());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let age = now - own.started().unwrap();
        assert!((-2..600).contains(&age), "{age}");
    }

    #[test]
    fn what_nobody_has_waited_for_does_not_run() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(Pid::from_child(&child));
        assert!(process.runs());
        child.kill().unwrap();
        while process.runs() {
            std::thread::yield_now();
        }
        assert!(process.folder.exists(), "it is still there, as a zombie");
        child.wait().unwrap();
    }
}
