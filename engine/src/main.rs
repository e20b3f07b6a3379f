//! One task: a request on standard input, messages on what was standard output, files in the working directory.
//!
//! 1. The frame pipe moves from descriptor 1 to a private one, and descriptor 1 becomes standard error, since TorchScript
//!    programs may print.
//! 2. The request is read. From then on a thread waits for standard input to close and ends the process when it does, so
//!    that no engine outlives its worker.
//! 3. Limits are set that need no privilege: no core dumps, no new privileges.
//! 4. libtorch starts, the stage runs, one outcome is sent.
//!
//! The exit code is 0 when an outcome was sent, whatever it was, 4 when the worker went away, 2 when no request could be
//! read. A worker takes anything else, and a signal, as a crash. libgomp reads its settings before `main`, so the worker
//! sets them: with `OMP_WAIT_POLICY=PASSIVE` two threads on a busy machine were four times as fast as without.
//! `SECATEUR_ENGINE_FAULT` plans faults for tests; see [`secateur_engine::fault`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use secateur_core::task::{Outcome, PROTOCOL, TaskRequest, read_frame};
use secateur_engine::error::{self, Error};
use secateur_engine::latency::device_name;
use secateur_engine::messages::Messages;
use secateur_engine::stage::Finished;
use secateur_engine::{fault, stage, torch};

const NO_REQUEST: u8 = 2;
const WORKER_GONE: libc::c_int = 4;

fn main() -> ExitCode {
    let messages = match take_frame_pipe() {
        Ok(pipe) => Messages::to(pipe),
        Err(error) => return refuse(&format!("the frame pipe cannot be moved: {error}")),
    };
    let request: serde_json::Value = match read_frame(&mut io::stdin().lock()) {
        Ok(Some(request)) => request,
        Ok(None) => exit_now(WORKER_GONE),
        Err(error) => return refuse(&format!("no request could be read: {error}")),
    };
    exit_when_input_closes();
    drop_what_is_not_needed();

    messages.outcome(match parse(request) {
        Ok(request) => match fault::inject(request.work.stage()) {
            Some(outcome) => outcome,
            None => carry_out(&request, &messages),
        },
        Err(message) => Outcome::Failed { message },
    });
    // Without the static destructors of libtorch, which race with its threads.
    exit_now(0)
}

/// The version goes first: another protocol's request may not even parse.
fn parse(request: serde_json::Value) -> Result<TaskRequest, String> {
    let protocol = request.get("protocol").and_then(serde_json::Value::as_u64);
    if protocol != Some(u64::from(PROTOCOL)) {
        let found = protocol.map_or("none".to_owned(), |protocol| protocol.to_string());
        return Err(format!("the request's protocol is {found}, this engine speaks {PROTOCOL}"));
    }
    serde_json::from_value(request).map_err(|error| format!("the request is not valid: {error}"))
}

fn carry_out(request: &TaskRequest, messages: &Messages) -> Outcome {
    let stage = || -> Result<Outcome, Error> {
        let device = torch::runtime::initialise(request.threads, request.device)?;
        let Finished { result, files } = stage::run(request, Path::new("."), device, messages)?;
        Ok(Outcome::Done { result, files, device: device_name(device) })
    };
    match catch_unwind(AssertUnwindSafe(stage)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => error.into_outcome(),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            error::failure(format!("panic: {}", text.unwrap_or_else(|| "without a message".to_owned())))
        }
    }
}

/// Moves standard output to a private descriptor and puts standard error in its place.
fn take_frame_pipe() -> io::Result<File> {
    // SAFETY: plain system calls on descriptors that the process was started with; the new descriptor is owned by nobody else.
    unsafe {
        let private = libc::fcntl(libc::STDOUT_FILENO, libc::F_DUPFD_CLOEXEC, 3);
        if private < 0 {
            return Err(io::Error::last_os_error());
        }
        let pipe = File::from_raw_fd(private);
        if libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pipe)
    }
}

fn exit_when_input_closes() {
    std::thread::spawn(|| {
        let mut byte = [0];
        loop {
            match io::stdin().lock().read(&mut byte) {
                Ok(0) => exit_now(WORKER_GONE),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => exit_now(WORKER_GONE),
                Ok(_) | Err(_) => {}
            }
        }
    });
}

fn drop_what_is_not_needed() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain system calls; the struct outlives the call. Both only ever take rights away, so failure is harmless.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, unused, unused, unused);
    }
}

fn refuse(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "secateur-engine: {message}");
    ExitCode::from(NO_REQUEST)
}

fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: both are plain calls; the first writes out what TorchScript programs have printed into C's buffers.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(code)
    }
}
