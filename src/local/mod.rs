//! One job on this machine, without server and database: the same stages, planner and engine, one task at a time.

mod judge;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secateur_core::stage::{
    self, FinishedTask, Input, JobView, Measurements, PlanError, PlannedTask, Source, Stage, TaskTime, Work,
};
use secateur_core::wire::{Device, PROTOCOL, Progress, TaskRequest};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::engine::{self, EngineBinary, Exit, check_outputs};
use crate::job::{JobError, Order};

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    pub engine: EngineBinary,
    pub device: Device,
    /// Compute threads.
    pub threads: usize,
    pub model: PathBuf,
    pub dataset: Option<PathBuf>,
    pub order: Order,
    /// A command that is given the path of a finalist and prints its score.
    pub judge: Option<String>,
    /// Where the tasks' folders go; the system's temporary folder when there is none.
    pub scratch: Option<PathBuf>,
    pub stop: CancellationToken,
}

/// Sees how a job goes.
pub trait Observer {
    fn stage_begins(&mut self, stage: Stage, tasks: usize);
    /// Called now and then while a task runs.
    fn progress(&mut self, stage: Stage, index: usize, progress: &Progress);
    fn task_ends(&mut self, stage: Stage, index: usize);
}

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The job failed, with the engine's log.
    #[error("{}", .error.detail)]
    Failed { error: Box<JobError>, log: String },
    #[error("stopped")]
    Stopped,
    /// The spec has a judge and there is none.
    #[error("`judge` in the spec waits for scores that are posted to a server, and there is none here")]
    NoJudge,
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
}

impl LocalError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// A job that is done. Its files live as long as it does.
#[derive(Debug)]
pub struct LocalJob {
    folder: TempDir,
    pub finished: Vec<FinishedTask>,
}

impl LocalJob {
    /// The path of a task's output.
    pub fn output(&self, stage: Stage, index: usize, name: &str) -> PathBuf {
        task_folder(self.folder.path(), stage, index).join(name)
    }
}

/// Runs a job to its end.
///
/// # Errors
/// The job failed or was stopped, or its files cannot be written.
pub async fn run(options: &LocalOptions, observer: &mut impl Observer) -> Result<LocalJob, LocalError> {
    let scratch = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("secateur-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&scratch)
        .map_err(LocalError::io(format!("folder in {}", scratch.display())))?;
    let mut job = LocalJob { folder, finished: Vec::new() };
    match &options.order {
        Order::Inspect(inspection) => {
            let task = stage::inspect::task(inspection.clone());
            run_stage(options, &mut job, Stage::Inspect, &[task], observer).await?;
        }
        Order::Prune(spec) => {
            let has_dataset = options.dataset.is_some();
            let mut next = Some(options.order.first_stage());
            while let Some(stage) = next {
                let view = JobView { spec, has_dataset, finished: &job.finished, reused: Measurements::NONE };
                let tasks = stage::plan(stage, view, Measurements::NONE)?.tasks;
                run_stage(options, &mut job, stage, &tasks, observer).await?;
                next = stage.next(spec, has_dataset);
            }
        }
    }
    Ok(job)
}

async fn run_stage(
    options: &LocalOptions,
    job: &mut LocalJob,
    stage: Stage,
    tasks: &[PlannedTask],
    observer: &mut impl Observer,
) -> Result<(), LocalError> {
    observer.stage_begins(stage, tasks.len());
    for task in tasks {
        let finished = run_task(options, job.folder.path(), stage, task, observer).await?;
        observer.task_ends(stage, task.index);
        job.finished.push(finished);
    }
    Ok(())
}

async fn run_task(
    options: &LocalOptions,
    job_folder: &Path,
    stage: Stage,
    task: &PlannedTask,
    observer: &mut impl Observer,
) -> Result<FinishedTask, LocalError> {
    let folder = task_folder(job_folder, stage, task.index);
    std::fs::create_dir_all(&folder).map_err(LocalError::io("task folder"))?;
    for input in &task.inputs {
        place_input(options, job_folder, &folder, input)?;
    }
    if let Work::Judge(work) = &task.work {
        return judge::run(options, task, work, &folder, observer).await;
    }
    let request = TaskRequest {
        protocol: PROTOCOL,
        spec: options.order.spec().cloned(),
        work: task.work.clone(),
        threads: options.threads,
        device: options.device,
        // A job that is stopped here leaves nothing from which it could go on.
        checkpoint_interval_s: None,
    };
    let (told, mut latest) = watch::channel(engine::Told::default());
    let (checkpoints, _) = mpsc::unbounded_channel();
    let run = engine::run(engine::Run {
        engine: &options.engine,
        folder: &folder,
        request: &request,
        timeout: Duration::MAX,
        told: &told,
        checkpoints: &checkpoints,
        stop: &options.stop,
    });
    tokio::pin!(run);
    let ended = loop {
        tokio::select! {
            ended = &mut run => break ended,
            Ok(()) = latest.changed() => {
                if let Some(progress) = &latest.borrow_and_update().progress {
                    observer.progress(stage, task.index, progress);
                }
            }
        }
    };
    match ended.exit {
        Exit::Done { result, files, device, computing_s } => {
            check_outputs(&folder, &files).map_err(|detail| failed(JobError::internal(stage, detail), ended.log))?;
            let time = TaskTime { waiting: 0.0, running: ended.took.as_secs_f64(), computing: computing_s };
            Ok(FinishedTask { stage, index: task.index, result, files, time, device })
        }
        Exit::Stopped => Err(LocalError::Stopped),
        exit => {
            let error = exit.error(stage).expect("what is neither done nor stopped is an error");
            Err(failed(error, ended.log))
        }
    }
}

fn failed(error: JobError, log: String) -> LocalError {
    LocalError::Failed { error: Box::new(error), log }
}

fn task_folder(job_folder: &Path, stage: Stage, index: usize) -> PathBuf {
    job_folder.join(format!("{}-{index}", stage.as_str()))
}

/// Copies an input, so that an engine cannot change what it was given; our own outputs are linked. The engine opens the data set through a
/// link before it gives up its rights.
fn place_input(options: &LocalOptions, job_folder: &Path, folder: &Path, input: &Input) -> Result<(), LocalError> {
    let target = folder.join(&input.name);
    let copy = |from: &Path| std::fs::copy(from, &target).map_err(LocalError::io(from.display().to_string())).map(drop);
    match &input.source {
        Source::Model => copy(&options.model),
        Source::Dataset => {
            let dataset = options.dataset.as_deref().expect("a plan with a data set has one");
            let linked = dataset.canonicalize().and_then(|dataset| std::os::unix::fs::symlink(dataset, &target));
            linked.map_err(LocalError::io(dataset.display().to_string()))
        }
        // There are no earlier jobs here.
        Source::Prepared { .. } => Ok(()),
        Source::Output { stage, index, name } => {
            let from = task_folder(job_folder, *stage, *index).join(name);
            std::fs::hard_link(&from, &target)
                .or_else(|_| std::fs::copy(&from, &target).map(drop))
                .map_err(LocalError::io(format!("output {} of stage {}", name, stage.as_str())))
        }
    }
}
