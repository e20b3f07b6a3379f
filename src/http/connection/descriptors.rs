//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files a process of this user may have open when it has raised its limit.
pub fn open_files() -> usize {
    as_number(getrlimit(Resource::Nofile).maximum)
}

/// Raises the limit on open files as far as the process may by itself, and returns it.
pub fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    as_number(if raised.is_ok() { maximum } else { current })
}

fn as_number(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
