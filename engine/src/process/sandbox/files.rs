//! Files, ports, signals and sockets that the process may reach, by Landlock.
//!
//! Libraries are mapped before the sandbox is entered and nothing is ever executed, so a task on the CPU needs its folder and what
//! libraries ask about the processor. With a GPU the driver's devices and the folders of its libraries are added, since these are
//! opened when they are first used. No right is given to execute, to make folders, links, pipes, sockets or devices, to take
//! TCP ports, to signal other processes or to reach their abstract sockets.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Needs;

/// The newest interface whose rights were looked at here; an older kernel enforces those that it knows.
const ABI_KNOWN: ABI = ABI::V7;

/// What libraries read about the processor and the memory, and where randomness comes from.
const READ: [&str; 7] = [
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/cgroup",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/dev/urandom",
    "/dev/null",
];

/// Libraries and settings that the driver of a GPU opens late.
const READ_WITH_GPU: [&str; 13] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/cuda",
    // Where containers have the driver's own libraries.
    "/usr/local/nvidia",
    "/etc/ld.so.cache",
    "/etc/nvidia",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/self/maps",
    "/proc/self/status",
    "/proc/sys/vm/mmap_min_addr",
];

/// The driver of a GPU gives its threads names, by a file that it opens to empty and fill it, and does not start where it cannot.
const WRITE_WITH_GPU: &str = "/proc/self/task";

/// Files outside of the task's folder that a process may open.
#[derive(Debug, Default)]
pub(super) struct Reachable {
    read: BTreeSet<PathBuf>,
    /// Folders of libraries that are not the system's.
    libraries: BTreeSet<PathBuf>,
    devices: BTreeSet<PathBuf>,
    /// Files of the process itself that its threads write.
    own: Option<PathBuf>,
}

impl Reachable {
    pub(super) fn of(needs: Needs) -> Self {
        let mut reachable = Self { read: READ.iter().map(PathBuf::from).collect(), ..Self::default() };
        if needs.gpu {
            reachable.read.extend(READ_WITH_GPU.iter().map(PathBuf::from));
            reachable.libraries = folders_of_libraries();
            reachable.devices = devices_of_gpus();
            reachable.own = Some(PathBuf::from(WRITE_WITH_GPU));
        }
        reachable
    }

    /// A folder of libraries that will be opened later and that a user without privileges cannot enter.
    pub(super) fn closed_to_others(&self) -> Option<&Path> {
        let may_pass = |folder: &Path| std::fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 != 0);
        self.libraries.iter().map(PathBuf::as_path).find(|folder| !folder.ancestors().all(may_pass))
    }
}

/// Restricts the calling thread for good; returns the version of the interface that is in force.
pub(super) fn fence(reachable: &Reachable) -> Result<i32, String> {
    restrict(reachable).map_err(|error| error.to_string())?
}

fn restrict(reachable: &Reachable) -> Result<Result<i32, String>, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI_KNOWN))?
        .handle_access(AccessNet::from_all(ABI_KNOWN))?
        .scope(Scope::from_all(ABI_KNOWN))?
        .create()?;
    if let Some(rule) = beneath(Path::new("."), read | writing()) {
        rules = rules.add_rule(rule)?;
    }
    for path in reachable.read.iter().chain(&reachable.libraries) {
        if let Some(rule) = beneath(path, read) {
            rules = rules.add_rule(rule)?;
        }
    }
    for path in &reachable.devices {
        if let Some(rule) = beneath(path, read | AccessFs::WriteFile | AccessFs::IoctlDev) {
            rules = rules.add_rule(rule)?;
        }
    }
    if let Some(rule) =
        reachable.own.as_deref().and_then(|path| beneath(path, read | AccessFs::WriteFile | AccessFs::Truncate))
    {
        rules = rules.add_rule(rule)?;
    }
    let status = rules.restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err("this kernel has no Landlock".to_owned()),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(effective_abi as i32),
        (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => {
            Err("this kernel has no Landlock".to_owned())
        }
    })
}

/// What a task does with the files of its folder: makes, writes, renames and removes them.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile
}

/// A rule for a path; `None` when it is not there. Rights on folders are left out for a file.
fn beneath(path: &Path, rights: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let is_folder = std::fs::metadata(path).ok()?.is_dir();
    let rights = if is_folder { rights } else { rights & AccessFs::from_file(ABI_KNOWN) };
    Some(PathBeneath::new(PathFd::new(path).ok()?, rights))
}

/// The folders of the libraries that are loaded, and of the packages beside them that libtorch's own packages depend on.
fn folders_of_libraries() -> BTreeSet<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let libraries = mapped.filter(|path| path.to_string_lossy().contains(".so"));
    let mut folders: BTreeSet<PathBuf> = libraries.filter_map(|path| path.parent().map(Path::to_owned)).collect();
    let search = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&search).filter(|folder| folder.is_absolute()));
    // A wheel of PyTorch finds CUDA's libraries in `site-packages/nvidia`, two folders above its own.
    let packages: Vec<PathBuf> =
        folders.iter().filter_map(|folder| Some(folder.parent()?.parent()?.join("nvidia"))).collect();
    folders.extend(packages.into_iter().filter(|folder| folder.is_dir()));
    folders.retain(|folder| !folder.starts_with("/usr") && !folder.starts_with("/lib") && folder != Path::new("/"));
    folders
}

fn devices_of_gpus() -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().starts_with("/dev/nvidia")).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Whether a thread with these files can empty and fill the file that has its name. The fence holds for that thread alone.
    fn names_itself(reachable: Reachable) -> io::Result<()> {
        let thread = std::thread::spawn(move || {
            fence(&reachable).expect("this kernel has Landlock");
            let own = rustix::thread::gettid().as_raw_nonzero();
            std::fs::write(format!("/proc/self/task/{own}/comm"), "driver")
        });
        thread.join().expect("it does not panic")
    }

    #[test]
    fn the_driver_of_a_gpu_can_name_its_threads() {
        let own = Some(PathBuf::from(WRITE_WITH_GPU));
        names_itself(Reachable { own, ..Reachable::default() }).unwrap();
        let refused = names_itself(Reachable::default()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
