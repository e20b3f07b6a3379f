//! Which process this is, so that another one of the same machine can tell when it is gone.
//!
//! The number of a process is given again to another. With the boot of the machine, the namespace that counts the numbers, and the time
//! at which the process began, in ticks since the boot, it is told from every other.

use std::fs;
use std::io;

use crate::queue::Process;

/// Of the fields of `/proc/PID/stat` that follow the program's name: the state, and the time at which the process began.
const STATE: usize = 0;
const BEGAN: usize = 19;

/// This process; `None` where `/proc` does not tell.
pub(super) fn this_process() -> Option<Process> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    let pid = std::process::id() as i32;
    let (_, began) = look_at(pid).ok()?;
    Some(Process { machine: format!("{} {}", boot.trim(), numbers.display()), pid, began })
}

/// Whether a process of this machine is there. Where that cannot be seen it is taken to be, and its leases tell.
pub(super) fn is_there(process: &Process) -> bool {
    match look_at(process.pid) {
        Ok((state, began)) => began == process.began && !matches!(state, 'Z' | 'X'),
        // With `hidepid` the processes of others are not seen; the first process is never one's own.
        Err(error) => error.kind() != io::ErrorKind::NotFound || look_at(1).is_err(),
    }
}

/// State and begin of a process.
fn look_at(pid: i32) -> io::Result<(char, i64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    match (field(STATE).chars().next(), field(BEGAN).parse()) {
        (Some(state), Ok(began)) => Ok((state, began)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, stat)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_there_until_it_ends_and_no_other_is_taken_for_it() {
        let this = this_process().unwrap();
        assert!(is_there(&this));
        assert!(!is_there(&Process { began: this.began + 1, ..this.clone() }), "it has the number of one that ended");

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let (_, began) = look_at(pid).unwrap();
        let process = Process { pid, began, ..this };
        assert!(is_there(&process));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_there(&process));
    }
}
