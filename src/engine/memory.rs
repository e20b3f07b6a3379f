//! The memory of the machine, and whether the kernel took a process for want of it.
//!
//! A process that runs out of memory dies of the same signal as one that somebody kills. The kernel counts those that it takes: in
//! the memory controller of the group that this program is in, or else for the whole machine.

use std::fs;
use std::path::Path;

use rustix::process::Pid;

/// A count of the kernel's kills; a later one that is greater says that there were some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernelKills(u64);

impl KernelKills {
    pub(super) fn so_far() -> Self {
        let files = groups("memory.events").chain(groups_of_version_1("memory.oom_control"));
        let of_group = files.chain(["/proc/vmstat".to_owned()]).find_map(|path| field(&path, "oom_kill"));
        Self(of_group.unwrap_or_default())
    }

    /// Whether the kernel took a process since this count.
    pub(super) fn have_increased(self) -> bool {
        Self::so_far().0 > self.0
    }
}

/// Bytes of memory that this program and its children may use together; `None` when that cannot be read.
pub fn of_this_machine() -> Option<u64> {
    let installed = field("/proc/meminfo", "MemTotal:")?.checked_mul(1024)?;
    let limits = groups("memory.max").chain(groups_of_version_1("memory.limit_in_bytes"));
    let limits = limits.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    Some(limits.fold(installed, u64::min))
}

/// The most bytes that a process had in memory at once; `None` when it has ended.
pub(super) fn peak_of(process: Pid) -> Option<u64> {
    field(&format!("/proc/{}/status", process.as_raw_nonzero()), "VmHWM:")?.checked_mul(1024)
}

/// A file of the group that this program is in, and of those around it.
fn groups(file: &str) -> impl Iterator<Item = String> {
    paths("/sys/fs/cgroup", "0", file)
}

fn groups_of_version_1(file: &str) -> impl Iterator<Item = String> {
    paths("/sys/fs/cgroup/memory", "memory", file)
}

/// The innermost first. In a container the group's own path may not be there, but its controller is mounted at the root.
fn paths(root: &'static str, controller: &str, file: &str) -> impl Iterator<Item = String> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // `4:memory:/path`, and `0::/path` in the second version.
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        (number == controller || names.split(',').any(|name| name == controller)).then(|| path.to_owned())
    });
    let mut found = Vec::new();
    for folder in Path::new(path.as_deref().unwrap_or("/")).ancestors() {
        found.push(format!("{root}/{}/{file}", folder.to_string_lossy().trim_matches('/')));
    }
    found.into_iter()
}

/// The number behind a name on a line of its own.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_machine_is_known() {
        assert!(of_this_machine().unwrap() > 64 << 20);
    }

    #[test]
    fn the_peak_of_a_process_is_more_than_what_it_has_touched() {
        let before = peak_of(rustix::process::getpid()).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak_of(rustix::process::getpid()).unwrap() >= touched.len() as u64);
        assert!(before > 0);
    }
}
