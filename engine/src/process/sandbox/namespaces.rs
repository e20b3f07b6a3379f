//! A network without interfaces and a System V IPC of its own.

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the process into empty network and IPC namespaces, which takes `CAP_SYS_ADMIN`.
pub(super) fn separate() -> io::Result<()> {
    unshare(UnshareFlags::NEWNET | UnshareFlags::NEWIPC)
}

/// The same through a user namespace, which many kernels let everyone make. The user keeps its files, without a number inside.
pub(super) fn separate_as_ordinary_user() -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC)
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors and memory stay shared as they were; the flags concern namespaces alone.
    Ok(unsafe { unshare_unsafe(flags) }?)
}
