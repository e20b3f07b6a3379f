//! How much memory the process may have.

use rustix::process::{Resource, getrlimit};

/// The ceiling that its sandbox has set, else what the machine has; bytes.
pub fn allowed() -> u64 {
    let of_machine = machine();
    getrlimit(Resource::Data).current.map_or(of_machine, |ceiling| ceiling.min(of_machine))
}

fn machine() -> u64 {
    let found = rustix::system::sysinfo();
    (found.totalram as u64).saturating_mul(u64::from(found.mem_unit))
}
