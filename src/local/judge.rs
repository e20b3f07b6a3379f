//! The judge of a local job: a command of the user's that is given the path of a finalist and prints its score as the last line.
//!
//! A command that fails ends the judgement, and the job's own metric chooses: what was computed so far is not lost.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use secateur_core::plain_text;
use secateur_core::recovery::JudgeScore;
use secateur_core::stage::finalists::finalist_model;
use secateur_core::stage::judge::{JudgeResult, JudgeWork};
use secateur_core::stage::{FinishedTask, PlannedTask, Stage, TaskResult, TaskTime};
use secateur_core::wire::Progress;
use tokio::process::Command;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LocalError, LocalOptions, Observer};

/// Characters of what a command printed that are repeated.
const LONGEST_LINE: usize = 200;

/// How one run of the command ended.
enum Said {
    Score(f64),
    /// Why there is none, as the end of a sentence.
    Nothing(String),
    TimeIsOver,
}

/// Carries the task of the stage out.
///
/// # Errors
/// The job was stopped, or there is no command or none that can be started.
pub(super) async fn run(
    options: &LocalOptions,
    task: &PlannedTask,
    work: &JudgeWork,
    folder: &Path,
    observer: &mut impl Observer,
) -> Result<FinishedTask, LocalError> {
    let command = options.judge.as_deref().ok_or(LocalError::NoJudge)?;
    let started = Instant::now();
    let (unit, total) = ("scores".to_owned(), work.finalists.len() as u64);
    let mut progress = Progress { done: 0, total, unit, rate: None, note: None };
    let heard = |score: JudgeScore| {
        progress.done += 1;
        progress.note = Some(format!("finalist {}: {}", score.candidate, score.score));
        observer.progress(Stage::Judge, task.index, &progress);
    };
    let result = TaskResult::Judge(ask(command, work, folder, &options.stop, heard).await?);
    // As on a server: it computed nothing, on no device.
    let time = TaskTime { waiting: started.elapsed().as_secs_f64(), running: 0.0, computing: 0.0 };
    let (files, device) = (Vec::new(), String::new());
    Ok(FinishedTask { stage: Stage::Judge, index: task.index, result, files, time, device })
}

/// Asks for the score of each finalist in turn; `heard` is called with each.
async fn ask(
    command: &str,
    work: &JudgeWork,
    folder: &Path,
    stop: &CancellationToken,
    mut heard: impl FnMut(JudgeScore),
) -> Result<JudgeResult, LocalError> {
    let deadline = Instant::now() + work.timeout();
    let mut given = Vec::new();
    for &candidate in &work.finalists {
        match score(command, &folder.join(finalist_model(candidate)), deadline, stop).await? {
            Said::Score(score) => {
                given.push(JudgeScore { candidate, score });
                heard(JudgeScore { candidate, score });
            }
            Said::Nothing(why) => {
                return Ok(work.settle_after(&given, &format!("For finalist {candidate} the command {why}")));
            }
            Said::TimeIsOver => break,
        }
    }
    Ok(work.settle(&given))
}

async fn score(
    command: &str,
    finalist: &Path,
    deadline: Instant,
    stop: &CancellationToken,
) -> Result<Said, LocalError> {
    let child = Command::new("sh")
        .arg("-c")
        .arg(format!("{command} \"$1\""))
        .arg("sh")
        .arg(finalist)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(LocalError::io("judge"))?;
    let id = child.id().expect("a child that was not waited for has an id");
    let group = Pid::from_raw(id as i32).expect("a process id is not zero");
    // Until this is polled to its end nobody has waited for the child, so its id is its own.
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    let output = tokio::select! {
        output = &mut ended => output.map_err(LocalError::io("judge"))?,
        () = tokio::time::sleep_until(deadline) => {
            let _ = kill_process_group(group, Signal::KILL);
            return Ok(Said::TimeIsOver);
        }
        () = stop.cancelled() => {
            let _ = kill_process_group(group, Signal::KILL);
            return Err(LocalError::Stopped);
        }
    };
    if !output.status.success() {
        return Ok(Said::Nothing(format!("ended with {}", output.status)));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let Some(line) = printed.lines().map(str::trim).rfind(|line| !line.is_empty()) else {
        return Ok(Said::Nothing("printed nothing".to_owned()));
    };
    Ok(match line.parse::<f64>() {
        Ok(score) if score.is_finite() => Said::Score(score),
        _ => Said::Nothing(format!("printed `{}`, not a finite number", plain_text::line_within(line, LONGEST_LINE))),
    })
}
