//! How much memory the process may have.

use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};

/// What a single thing takes at most: a column of the data set, answers that are kept, the inputs of a pass. There are three splits of a few
/// columns, and a network to train.
const SHARE: u64 = 16;

static CEILING: OnceLock<u64> = OnceLock::new();

/// What the worker allows; with a GPU no limit of the kernel says so.
pub(super) fn set_ceiling(bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        let _ = CEILING.set(bytes);
    }
}

/// What a single thing may take, bytes: a sixteenth of all that the process may have.
pub fn share() -> u64 {
    allowed() / SHARE
}

/// The least of what the worker and the kernel allow and the machine has.
fn allowed() -> u64 {
    let found = rustix::system::sysinfo();
    let machine = (found.totalram as u64).saturating_mul(u64::from(found.mem_unit));
    [CEILING.get().copied(), getrlimit(Resource::Data).current].into_iter().flatten().fold(machine, u64::min)
}
