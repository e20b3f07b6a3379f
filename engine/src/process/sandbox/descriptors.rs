//! Descriptors that the process was started with.

use std::io;

/// The first one behind standard input, output and error.
const FIRST: libc::c_uint = 3;

/// Closes every descriptor but standard input, output and error: a server that forgot to close one would hand it to the engine.
pub(super) fn close_all_but_the_pipes() -> io::Result<()> {
    // SAFETY: a plain system call, made before this program has opened anything, so no descriptor is closed under its owner.
    match unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
