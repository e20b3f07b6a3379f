//! Limits of the process that need no privilege: the kernel counts, and a call that asks for more fails.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, setrlimit};
use secateur_core::sandbox::Ceilings;

/// Open files of a task: its inputs, its outputs and the three pipes are a dozen.
const DESCRIPTORS: u64 = 256;
/// The driver of a GPU opens devices and libraries.
const DESCRIPTORS_WITH_GPU: u64 = 4096;
/// Seconds between the signal that can be told from others and the one that cannot be held up.
const TIME_TO_SAY_SO: u64 = 5;
/// Addresses beyond the memory ceiling: arenas and stacks reserve more than they use, shared mappings are counted here only.
const ADDRESSES_BEYOND: u64 = 4 << 30;

/// Sets what is counted for every process, and the ceilings on time, files and threads.
pub(super) fn bound(ceilings: &Ceilings, has_own_user: bool, gpu: bool) -> io::Result<()> {
    // Writing too much shall be an error of the write, not a signal.
    // SAFETY: a plain system call that installs no handler of ours.
    if unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    set(Resource::Core, 0, 0)?;
    let descriptors = if gpu { DESCRIPTORS_WITH_GPU } else { DESCRIPTORS };
    set(Resource::Nofile, descriptors, descriptors)?;
    set(Resource::Msgqueue, 0, 0)?;
    set(Resource::Rtprio, 0, 0)?;
    if let Some(bytes) = ceilings.file_bytes {
        set(Resource::Fsize, bytes, bytes)?;
    }
    if let Some(seconds) = ceilings.cpu_seconds {
        set(Resource::Cpu, seconds, seconds.saturating_add(TIME_TO_SAY_SO))?;
    }
    // Counted by user: of a user that others have too, theirs would be counted with it.
    if let Some(threads) = ceilings.threads.filter(|_| has_own_user) {
        set(Resource::Nproc, threads, threads)?;
    }
    Ok(())
}

/// Sets the ceiling on memory. A failed allocation is an exception of libtorch, which ends the task as out of memory.
pub(super) fn bound_memory(ceiling: Option<u64>, gpu: bool) -> Result<(), String> {
    let Some(ceiling) = ceiling else { return Err("the worker asked for none".to_owned()) };
    if gpu {
        return Err("the driver of a GPU reserves more addresses than there is memory".to_owned());
    }
    let mapped = mapped_bytes().map_err(|error| format!("the size of the process is not known: {error}"))?;
    let addresses = ceiling.saturating_add(mapped).saturating_add(ADDRESSES_BEYOND);
    let failed = |error: io::Error| error.to_string();
    set(Resource::Data, ceiling, ceiling).map_err(failed)?;
    set(Resource::As, addresses, addresses).map_err(failed)
}

/// So that the kernel takes the engine and never the server or the database. Raising it needs no privilege.
pub(super) fn go_first_when_memory_runs_out() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "700")
}

/// Lowers a limit; one that is lower already stays.
fn set(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let before = rustix::process::getrlimit(resource);
    let least = |wanted: u64, limit: Option<u64>| Some(limit.map_or(wanted, |limit| limit.min(wanted)));
    let (current, maximum) = (least(soft, before.maximum.and(before.current)), least(hard, before.maximum));
    Ok(setrlimit(resource, Rlimit { current: current.min(maximum), maximum })?)
}

/// Addresses that the process has mapped.
fn mapped_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let size =
        status.lines().find_map(|line| line.strip_prefix("VmSize:")?.split_whitespace().next()?.parse::<u64>().ok());
    size.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("/proc/self/status has no VmSize"))
}
