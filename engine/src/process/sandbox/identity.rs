//! Who the process is: a user of its own, without capabilities.

use std::{fs, io};

use rustix::process::{DumpableBehavior, Gid, Uid, geteuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::files::Reachable;

/// The kernel knows 41 today; the interface holds 64.
const CAPABILITIES: u32 = 64;

/// Whether the calling thread is the whole process.
pub(super) fn only_one_thread() -> Result<(), String> {
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(count) => Err(format!("a library started {} threads before", count - 1)),
        Err(error) => Err(format!("the threads of the process could not be counted: {error}")),
    }
}

/// So that no program could gain a capability; what cannot be removed is made useless by [`gain_nothing_and_show_nothing`].
pub(super) fn empty_the_bounding_set() {
    for capability in 0..CAPABILITIES {
        let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability));
    }
}

/// Becomes a user and a group that nobody else is, without further groups.
pub(super) fn become_user(account: Option<u32>, reachable: &Reachable) -> Result<(), String> {
    let Some(account) = account else { return Err("the worker has no user to give".to_owned()) };
    if !geteuid().is_root() {
        return Err("only root can become another user".to_owned());
    }
    if let Some(folder) = reachable.closed_to_others() {
        return Err(format!("user {account} could not read the libraries in {}", folder.display()));
    }
    let (uid, gid) = (Uid::from_raw(account), Gid::from_raw(account));
    let became = (|| {
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    })();
    became.map_err(|error| format!("user {account}: {error}"))
}

/// Drops every capability for good.
pub(super) fn drop_capabilities() -> io::Result<()> {
    // Fails on kernels that have none, which is as good.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    match capabilities(None)?.permitted.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other("some capabilities remain")),
    }
}

/// No program that the process might start gains anything, and no other process of its user may look into it.
pub(super) fn gain_nothing_and_show_nothing() -> io::Result<()> {
    set_no_new_privs(true)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
