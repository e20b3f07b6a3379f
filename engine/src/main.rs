//! One task: a request on standard input, messages on what was standard output, files in the working directory.
//!
//! 1. The frame pipe moves from descriptor 1 to a private one, and descriptor 1 becomes standard error, since TorchScript
//!    programs may print.
//! 2. The request is read.
//! 3. The data set and what an earlier job has made of it are opened, where there are any: the files may lie outside the folder, and the
//!    worker's rights are needed to reach them.
//! 4. The sandbox is entered ([`secateur_engine::process::sandbox`]) with the settings of `--sandbox`, which the worker passes as JSON.
//! 5. A thread waits for standard input to close from now on and ends the process when it does, so that no engine outlives
//!    its worker.
//! 6. libtorch starts, the stage runs, one outcome is sent.
//!
//! With `--probe DEVICE` the engine enters the sandbox, prints the layers in force as JSON and ends; with `--about DEVICE` it also starts libtorch, and
//! prints its versions and what it would compute on.
//!
//! The exit code is 0 when an outcome was sent, whatever it was, 4 when the worker went away, 2 when no request could be
//! read. A worker takes anything else, and a signal, as a crash. libgomp reads its settings before `main`, so the worker
//! sets them: threads that wait give up their core soon, since engines share a machine. A task that times networks has the defaults of
//! libgomp, of the allocator and of the scheduler instead, as the user's process will; the others give way to what else runs on the machine.
//! `SECATEUR_ENGINE_FAULT` plans faults for tests; see [`secateur_engine::process::fault`].

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use secateur_core::sandbox::{Profile, Settings};
use secateur_core::stage::import::DATASET;
use secateur_core::stage::prepare::EARLIER_SAMPLES;
use secateur_core::wire::{Device, Outcome, PROTOCOL, TaskRequest, read_frame};
use secateur_engine::error::{self, Error};
use secateur_engine::measure::latency::device_name;
use secateur_engine::process::fault;
use secateur_engine::process::messages::Messages;
use secateur_engine::process::sandbox::{Entrance, Needs};
use secateur_engine::process::versions::versions;
use secateur_engine::stage::GivenFiles;
use secateur_engine::{stage, torch};

const NO_REQUEST: u8 = 2;
const WORKER_GONE: libc::c_int = 4;
/// Computing takes what is left of the processors by those who wait for an answer: the server, its database, other programs of the machine.
const NICENESS: i32 = 10;

/// What the worker says beside the task.
#[derive(Debug, Default)]
struct Arguments {
    sandbox: Settings,
    probe: Option<Device>,
    about: Option<Device>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => return refuse(&message),
    };
    let entrance = Entrance::open(arguments.sandbox);
    if let Some(device) = arguments.probe {
        return probe(entrance, device);
    }
    if let Some(device) = arguments.about {
        return tell_about(entrance, device);
    }
    let messages = match take_frame_pipe() {
        Ok(pipe) => Messages::to(pipe),
        Err(error) => return refuse(&format!("the frame pipe cannot be moved: {error}")),
    };
    let request: serde_json::Value = match read_frame(&mut io::stdin().lock()) {
        Ok(Some(request)) => request,
        Ok(None) => exit_now(WORKER_GONE),
        Err(error) => return refuse(&format!("no request could be read: {error}")),
    };
    messages.outcome(match parse(request) {
        Ok(request) => confine_and_carry_out(entrance, &request, &messages),
        Err(message) => Outcome::Failed { message },
    });
    // Without the static destructors of libtorch, which race with its threads.
    exit_now(0)
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            let value = words.next().and_then(|value| value.into_string().ok()).unwrap_or_default();
            let invalid = |error| format!("{} {value:?}: {error}", word.to_string_lossy());
            match word.to_str() {
                Some("--sandbox") => arguments.sandbox = serde_json::from_str(&value).map_err(invalid)?,
                Some("--probe") => {
                    arguments.probe = Some(serde_json::from_value(value.clone().into()).map_err(invalid)?);
                }
                Some("--about") => {
                    arguments.about = Some(serde_json::from_value(value.clone().into()).map_err(invalid)?);
                }
                _ => return Err(format!("`{}` is no argument of an engine, which workers start", word.display())),
            }
        }
        Ok(arguments)
    }
}

fn probe(entrance: Entrance, device: Device) -> ExitCode {
    let gpu = torch::runtime::may_use_gpu(device);
    let entered = entrance.enter(Needs { profile: Profile::Task, gpu });
    let printed = entered.map(|sandbox| serde_json::to_string(&sandbox).expect("strings are JSON"));
    match printed {
        Ok(json) => match writeln!(io::stdout(), "{json}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&format!("nobody reads the probe: {error}")),
        },
        Err(error) => refuse(&error.to_string()),
    }
}

/// Prints the versions of what takes part, and what a task would compute on.
fn tell_about(entrance: Entrance, device: Device) -> ExitCode {
    if let Err(incomplete) = entrance.enter(Needs { profile: Profile::Task, gpu: torch::runtime::may_use_gpu(device) })
    {
        return refuse(&incomplete.to_string());
    }
    let device = match torch::runtime::initialise(1, device) {
        Ok(device) => device_name(device),
        Err(error) => return refuse(&error.to_string()),
    };
    match writeln!(io::stdout(), "{}", serde_json::json!({ "versions": versions(), "device": device })) {
        // Without the static destructors of libtorch, which race with its threads.
        Ok(()) => exit_now(0),
        Err(error) => refuse(&format!("nobody reads this: {error}")),
    }
}

fn confine_and_carry_out(entrance: Entrance, request: &TaskRequest, messages: &Messages) -> Outcome {
    let stage = request.work.stage();
    let profile = stage.profile();
    if !stage.times_networks() {
        // What cannot be had does no harm.
        let _ = rustix::process::nice(NICENESS);
    }
    let files = match open_given(DATASET) {
        // What an earlier job has left is not worth failing for.
        Ok(dataset) => GivenFiles { dataset, earlier_samples: open_given(EARLIER_SAMPLES).unwrap_or_default() },
        Err(error) => return Outcome::Failed { message: format!("the data set cannot be opened: {error}") },
    };
    // Without samples to measure, a stage that sees the user's code has nothing to compute on a GPU, and is closed tighter.
    let device = match profile {
        Profile::Import if files.dataset.is_none() => Device::Cpu,
        Profile::Import | Profile::Task => request.device,
    };
    match entrance.enter(Needs { profile, gpu: torch::runtime::may_use_gpu(device) }) {
        Ok(sandbox) => messages.log(format!("sandbox: {sandbox}")),
        Err(incomplete) => return Outcome::Failed { message: incomplete.to_string() },
    }
    exit_when_input_closes();
    match fault::inject(stage) {
        Some(outcome) => outcome,
        None => carry_out(request, files, device, messages),
    }
}

/// A file in the working directory, or where a link of the worker's there leads to.
fn open_given(name: &str) -> io::Result<Option<Arc<File>>> {
    match File::open(name) {
        Ok(file) => Ok(Some(Arc::new(file))),
        // A link that leads nowhere is not the same as none.
        Err(error) if error.kind() == io::ErrorKind::NotFound && std::fs::symlink_metadata(name).is_err() => Ok(None),
        Err(error) => Err(error),
    }
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

fn carry_out(request: &TaskRequest, files: GivenFiles, device: Device, messages: &Messages) -> Outcome {
    let stage = || -> Result<Outcome, Error> {
        if !request.work.stage().times_networks() {
            torch::memory::keep_pages();
        }
        let device = torch::runtime::initialise(request.threads, device)?;
        let started = Instant::now();
        let result = stage::run(request, Path::new("."), files, device, messages)?;
        let computing_s = started.elapsed().as_secs_f64();
        let files = result.files(&request.work);
        Ok(Outcome::Done { result, files, device: device_name(device), computing_s })
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
    let private = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(private))
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
