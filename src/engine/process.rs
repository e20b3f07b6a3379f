//! One engine process, from start to exit.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use secateur_core::plain_text;
use secateur_core::wire::{self, EngineMessage, MAX_FRAME, Outcome, TaskRequest, write_frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::exit::OutOfMemory;
use super::log::BoundedLog;
use super::memory::{self, KernelKills};
use super::{Account, EngineBinary, Exit, Told};

/// How long an engine that has sent its outcome may take to exit.
const TIME_TO_EXIT: Duration = Duration::from_secs(10);
/// At an engine's memory. Its own count only rises, so the last look is the best one.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Characters of a line that an engine sends for the log.
const LONGEST_LINE: usize = 2000;

/// How often a compute thread looks for work before it sleeps. An epoch of a ResNet-20 (`engine/benches/step.rs`) on two cores, alone and
/// with another engine at the same time: 7.5 and 13.8 s when threads sleep at once, 6.6 and 15.5 s with this number, 6.2 and 65 s with
/// 100 000. libgomp's own number is larger still.
const SPINS: &str = "3000";

/// What one run needs.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub engine: &'a EngineBinary,
    /// The folder with the inputs; the outputs appear in it.
    pub folder: &'a Path,
    pub request: &'a TaskRequest,
    pub timeout: Duration,
    /// Grows with what the engine tells.
    pub told: &'a watch::Sender<Told>,
    /// Hears the names of the checkpoints that the engine has written; the files are the receiver's.
    pub checkpoints: &'a mpsc::UnboundedSender<String>,
    /// Ends the run with [`Exit::Stopped`].
    pub stop: &'a CancellationToken,
}

/// How a run ended and what was said in it.
#[derive(Debug)]
pub struct Finished {
    pub exit: Exit,
    pub log: String,
    pub took: Duration,
    /// The most bytes of memory that it had at once, as it was last seen; `None` when it ended before it was looked at.
    pub peak_memory: Option<u64>,
}

/// Runs a task; when this returns, the process and its children are dead.
pub async fn run(run: Run<'_>) -> Finished {
    let started = Instant::now();
    let mut log = BoundedLog::default();
    let kills = KernelKills::so_far();
    let mut peak_memory = None;
    let exit = match start(&run) {
        Ok(mut process) => {
            let exit = process.supervise(&run, &mut log).await;
            peak_memory = process.peak_memory;
            let (outcome, ended) = process.end(exit, &mut log).await;
            outcome.unwrap_or_else(|| match ended {
                Ok(status) => Exit::without_outcome(status, run.timeout, ran_out_of_memory(kills, &log)),
                Err(exit) => exit,
            })
        }
        Err(error) => Exit::NotStarted(format!("{}: {error}", run.engine.path.display())),
    };
    Finished { exit, log: log.into_text(), took: started.elapsed(), peak_memory }
}

/// A running engine; dropping it kills its whole process group.
struct Process {
    /// Whom it is as long as it runs.
    _account: Option<Account>,
    child: Child,
    group: Pid,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// When it was last looked at; a process that has ended takes the figure with it.
    peak_memory: Option<u64>,
    /// Its id may belong to another process by now.
    has_ended: bool,
}

fn start(run: &Run<'_>) -> io::Result<Process> {
    let confinement = &run.engine.confinement;
    let account = confinement.prepare(run.folder)?;
    let ceilings = confinement.ceilings(run.folder, run.request, run.timeout);
    let threads = run.request.threads.to_string();
    let mut command = Command::new(&run.engine.path);
    command
        .arg("--sandbox")
        .arg(confinement.settings(account.as_ref(), ceilings))
        .current_dir(run.folder)
        .env_clear()
        .envs(run.engine.environment.iter().map(|(name, value)| (name, value)))
        // Its own user reaches the folder from within and not through the folders around it.
        .env("HOME", ".")
        .env("TMPDIR", ".")
        .env("OMP_NUM_THREADS", &threads)
        .env("MKL_NUM_THREADS", &threads)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // Networks are timed as their user's process runs them: PyTorch sets nothing.
    if !run.request.work.stage().times_networks() {
        command.env("GOMP_SPINCOUNT", SPINS);
    }
    let mut child = command.spawn()?;
    let id = child.id().expect("a child that was not waited for has an id");
    let group = Pid::from_raw(id as i32).expect("a process id is not zero");
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    Ok(Process { _account: account, child, group, stdout, stderr, peak_memory: None, has_ended: false })
}

impl Process {
    /// Talks with the engine until its outcome, a reason to end it, or its end; `None` when it ended by itself.
    async fn supervise(&mut self, run: &Run<'_>, log: &mut BoundedLog) -> Option<Exit> {
        let mut request = Vec::new();
        if let Err(error) = write_frame(&mut request, run.request) {
            return Some(Exit::NotStarted(format!("the task does not fit a frame: {error}")));
        }
        // Stays open until the engine has ended.
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        let (stdout, stderr) = (&mut self.stdout, &mut self.stderr);
        let (group, peak_memory) = (self.group, &mut self.peak_memory);
        let (lines, mut received) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
        let conversation = async {
            // An engine that is dead already shows as the end of its output.
            let _ = stdin.write_all(&request).await;
            converse(stdout, &lines, run).await
        };
        let noise = async {
            let mut buffer = vec![0; 8192];
            while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                let _ = lines.send(buffer[..read].to_vec()).await;
            }
            std::future::pending::<()>().await;
        };
        let keeping = async {
            while let Some(bytes) = received.recv().await {
                log.push(&bytes);
            }
            std::future::pending::<()>().await;
        };
        let watching = async {
            loop {
                *peak_memory = memory::peak_of(group).or(*peak_memory);
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        };
        tokio::select! {
            end = conversation => end,
            () = run.stop.cancelled() => Some(Exit::Stopped),
            () = tokio::time::sleep(run.timeout) => Some(Exit::TimedOut(run.timeout)),
            () = noise => unreachable!("it waits for ever"),
            () = keeping => unreachable!("it waits for ever"),
            () = watching => unreachable!("it looks for ever"),
        }
    }

    /// Waits for the exit, by force when it must be or takes too long, and drains what was said last. Gives back the exit that is
    /// known, and how the process itself ended.
    async fn end(mut self, exit: Option<Exit>, log: &mut BoundedLog) -> (Option<Exit>, Result<ExitStatus, Exit>) {
        let ends_by_itself = matches!(exit, None | Some(Exit::Done { .. } | Exit::Rejected(_) | Exit::Failed(_)));
        if !ends_by_itself {
            self.kill();
        }
        drop(self.child.stdin.take());
        let status = tokio::time::timeout(TIME_TO_EXIT, self.child.wait()).await;
        // Also what it left behind: a grandchild would hold the pipe open.
        self.kill();
        let ended = match status {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(Exit::Protocol(format!("its exit could not be read: {error}"))),
            Err(_) => {
                log.push_line("the engine did not exit and was killed");
                let _ = self.child.wait().await;
                Err(Exit::Protocol("it closed its output without an outcome and did not exit".to_owned()))
            }
        };
        self.has_ended = true;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(TIME_TO_EXIT, (&mut self.stderr).take(1 << 20).read_to_end(&mut rest)).await;
        log.push(&rest);
        (exit, ended)
    }

    fn kill(&mut self) {
        // Both fail when nobody is left, which is what is wanted. The engine itself is killed by its number too, should it have left its group.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.start_kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended {
            self.kill();
        }
    }
}

/// What an engine says last when an allocation fails where no error can be returned. A model may print the same, which changes
/// nothing but what is said about its own death.
const FAILED_ALLOCATIONS: [&str; 3] =
    ["std::bad_alloc", "memory allocation of ", "DefaultCPUAllocator: can't allocate memory"];

/// Whether there is evidence that an engine died of want of memory: the kernel took a process since then, or the engine said so.
fn ran_out_of_memory(kills: KernelKills, log: &BoundedLog) -> OutOfMemory {
    if kills.have_increased() {
        OutOfMemory::TakenByTheKernel
    } else if FAILED_ALLOCATIONS.iter().any(|text| log.ends_about(text)) {
        OutOfMemory::FailedAllocation
    } else {
        OutOfMemory::No
    }
}

/// Reads frames until the outcome; `None` when the output ends without one.
async fn converse(stdout: &mut ChildStdout, lines: &tokio::sync::mpsc::Sender<Vec<u8>>, run: &Run<'_>) -> Option<Exit> {
    loop {
        match read_frame(stdout).await {
            Ok(Some(EngineMessage::Progress(progress))) => run.told.send_modify(|told| told.hear_progress(progress)),
            Ok(Some(EngineMessage::Reading(reading))) => run.told.send_modify(|told| told.hear_reading(reading)),
            Ok(Some(EngineMessage::Log { message })) => {
                let line = plain_text::line_within(message.trim_end(), LONGEST_LINE);
                let _ = lines.send(format!("{line}\n").into_bytes()).await;
            }
            Ok(Some(EngineMessage::Checkpoint { file })) => {
                let _ = run.checkpoints.send(file);
            }
            Ok(Some(EngineMessage::Outcome(outcome))) => {
                return Some(match outcome {
                    Outcome::Done { result, files, device, computing_s } => {
                        Exit::Done { result, files, device, computing_s }
                    }
                    Outcome::Rejected { rejection } => Exit::Rejected(rejection),
                    Outcome::Failed { message } => Exit::Failed(message),
                });
            }
            Ok(None) => return None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
            Err(error) => return Some(Exit::Protocol(error.to_string())),
        }
    }
}

/// [`wire::read_frame`] for an asynchronous pipe. What is too long is not read: its length alone is refused there.
async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<EngineMessage>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut frame = length.to_vec();
    let length = u32::from_le_bytes(length);
    if length <= MAX_FRAME {
        frame.resize(frame.len() + length as usize, 0);
        reader.read_exact(&mut frame[4..]).await?;
    }
    // Not an end of the output, even where the frame itself ends too early.
    wire::read_frame(&mut frame.as_slice())
        .map_err(|error| io::Error::other(format!("a frame is not readable: {error}")))
}
