//! A time limit on work that cannot be interrupted.
//!
//! Importing runs a stranger's program, and a single operator of libtorch may take as long as its arguments ask for. So the work
//! gets a thread of its own, and when it is not done in time the process says so and ends: nothing else would end it. The thread
//! has a stack that libtorch's parser does not exhaust on code that the pre-flight lets through.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use secateur_core::rejection::{Code, Rejection};
use secateur_core::wire::Outcome;

use crate::error::Error;
use crate::process::messages::Messages;

/// Bytes; only what is used becomes memory.
const STACK: usize = 64 << 20;

/// Runs the work; when it takes longer than the limit, ends the process with a rejection that names `what` took too long.
///
/// # Errors
/// The text of its panic when the work panics.
pub fn within<T: Send>(
    limit: Duration,
    what: &str,
    messages: &Messages,
    work: impl FnOnce() -> T + Send,
) -> Result<Result<T, String>, Error> {
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let worker = thread::Builder::new()
            .name(what.to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, move || {
                // Dropped at the end, by a panic too.
                let _done = done;
                work()
            })
            .map_err(|error| Error::internal(format!("no thread for {what}: {error}")))?;
        if is_done.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            messages.outcome(Outcome::Rejected { rejection: too_long(limit, what) });
            end_process();
        }
        Ok(worker.join().map_err(|panic| panic_text(&*panic)))
    })
}

fn too_long(limit: Duration, what: &str) -> Rejection {
    Rejection::new(Code::TimedOut, format!("{what} took longer than {} seconds.", limit.as_secs_f64()))
        .hint("Give a smaller `input_shape`, and make sure that every loop of the model ends.")
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

fn end_process() -> ! {
    // SAFETY: a plain call. No destructor and no exit handler runs, which could wait for the thread that hangs.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn work_that_is_done_in_time_gives_its_result() {
        assert_eq!(within(LONG, "a test", &Messages::discard(), || 7).unwrap(), Ok(7));
    }

    #[test]
    fn a_panic_comes_back_as_its_text() {
        let ended = within(LONG, "a test", &Messages::discard(), || -> u8 { panic!("it is {}", 1 + 1) });
        assert_eq!(ended.unwrap(), Err("it is 2".to_owned()));
    }

    #[test]
    fn work_may_go_deep() {
        fn depth(levels: usize) -> usize {
            let room = std::hint::black_box([0_u8; 1024]);
            if levels == 0 { room.len() } else { depth(levels - 1) + usize::from(room[0]) + 1 }
        }
        let levels = 20_000;
        assert_eq!(within(LONG, "a test", &Messages::discard(), || depth(levels)).unwrap(), Ok(levels + 1024));
    }
}
