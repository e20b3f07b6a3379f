//! One attempt at a task: fetch the inputs, run the engine, upload the outputs.

use std::path::PathBuf;
use std::time::Duration;

use secateur_core::inspection::ModelSummary;
use secateur_core::report::Report;
use secateur_core::spec::{JobSpec, RequiredDevice};
use secateur_core::stage::graph::SUMMARY;
use secateur_core::stage::import::DATASET;
use secateur_core::stage::{Stage, TaskResult};
use secateur_core::wire::{Computed, Device, PROTOCOL, TaskRequest};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::{Worker, checkpoints, heartbeats, prepared};
use crate::blob::{BlobError, BlobKey, Loan, is_full};
use crate::digest::Sha256;
use crate::engine::{self, Exit, Retry, Scratch, Told, check_outputs};
use crate::job::JobError;
use crate::queue::{ClaimedTask, Failure, Finished, Written};
use crate::report_page::{self, REPORT_PAGE};
use crate::table::artifact::Output;

/// A model's summary that is longer is not kept with the model; it is still an artifact of the job.
const LONGEST_SUMMARY: u64 = 16 << 20;

/// Somebody waits for an inspection, and others for the slot.
const LONGEST_INSPECTION: Duration = Duration::from_mins(1);

/// How an attempt ended, from the queue's point of view.
#[derive(Debug)]
pub(super) enum End {
    Finished(Box<Finished>),
    Failed {
        failure: Failure,
        log: String,
    },
    /// The worker shuts down.
    GivenBack {
        log: String,
    },
    /// Nobody wants it any more, or somebody else has it.
    Dropped(Written),
}

/// Runs the task beside its heartbeats, until it ends or is not wanted any more; says also which checkpoint its row holds.
pub(super) async fn run(worker: &Worker, task: &ClaimedTask, shutdown: &CancellationToken) -> (End, Option<BlobKey>) {
    let stop = CancellationToken::new();
    let told = watch::Sender::new(Told::default());
    let mut checkpoint = task.checkpoint.clone();
    let work = work(worker, task, &told, &mut checkpoint, &stop);
    let end = {
        tokio::pin!(work);
        tokio::select! {
            end = &mut work => end,
            refused = heartbeats::keep_lease(worker, task, &told) => {
                tracing::info!(?refused, "stopping the task");
                stop.cancel();
                match (refused, work.await) {
                    // It ended in the same moment.
                    (Written::Paused, end @ End::Finished(_)) => end,
                    (Written::Paused, _) => End::GivenBack { log: "the job was paused\n".to_owned() },
                    _ => End::Dropped(refused),
                }
            }
            () = shutdown.cancelled() => {
                stop.cancel();
                match work.await {
                    // It ended in the same moment.
                    end @ End::Finished(_) => end,
                    _ => End::GivenBack { log: "the worker shut down\n".to_owned() },
                }
            }
        }
    };
    (end, checkpoint)
}

async fn work(
    worker: &Worker,
    task: &ClaimedTask,
    told: &watch::Sender<Told>,
    checkpoint: &mut Option<BlobKey>,
    stop: &CancellationToken,
) -> End {
    let fail = |detail: String, log: String| End::Failed {
        failure: Failure::Retryable(JobError::internal(task.stage, detail)),
        log,
    };
    let find_no_room = |detail: String, log: String| End::Failed {
        failure: Failure::NoRoom(JobError::no_room(task.stage, detail)),
        log,
    };
    let name = format!("{}-{}-{}-", task.stage.as_str(), task.plan.index, task.lease.attempt);
    let scratch = match Scratch::create(&worker.options.scratch, &name) {
        Ok(scratch) => scratch,
        Err(error) => {
            let detail = format!("No folder could be made for the task: {error}.");
            return if is_full(&error) { find_no_room(detail, String::new()) } else { fail(detail, String::new()) };
        }
    };
    let _lent = match stop
        .run_until_cancelled(fetch_inputs(worker, task, &scratch).instrument(info_span!("fetch_inputs")))
        .await
    {
        None => return End::GivenBack { log: String::new() },
        Some(Err(BlobError::Full)) => {
            return find_no_room("The worker's disk has no room for the inputs.".to_owned(), String::new());
        }
        Some(Err(error)) => return fail(format!("The inputs could not be fetched: {error}."), String::new()),
        Some(Ok(lent)) => lent,
    };
    checkpoints::fetch(worker, task, scratch.path()).await;
    let request = TaskRequest {
        protocol: PROTOCOL,
        spec: task.order.spec().map(JobSpec::without_webhook),
        work: task.plan.work.clone(),
        threads: worker.threads(),
        device: device(worker, task),
        checkpoint_interval_s: Some(worker.options.checkpoint_interval.as_secs_f64()),
    };
    let (announce, announced) = mpsc::unbounded_channel();
    let run = async {
        // Dropped when the engine has ended, so that the keeper ends too.
        let announce = announce;
        engine::run(engine::Run {
            engine: &worker.options.engine,
            folder: scratch.path(),
            request: &request,
            timeout: match task.stage {
                Stage::Inspect => worker.options.task_timeout.min(LONGEST_INSPECTION),
                _ => worker.options.task_timeout,
            },
            told,
            checkpoints: &announce,
            stop,
        })
        .instrument(info_span!("engine"))
        .await
    };
    let (ended, kept) = tokio::join!(run, checkpoints::keep(worker, task, scratch.path(), announced));
    *checkpoint = kept;
    if let Some(peak) = ended.peak_memory {
        worker.metrics.observe_engine(task.stage, peak);
    }
    tracing::debug!(took = ?ended.took, exit = ?ended.exit, "engine ended");
    let (result, files, device, computing_s) = match ended.exit {
        Exit::Done { result, files, device, computing_s } => (result, files, device, computing_s),
        Exit::Stopped => return End::GivenBack { log: ended.log },
        exit => {
            let error = exit.error(task.stage).expect("what is neither done nor stopped is an error");
            tracing::warn!(code = error.code, detail = error.detail, "engine brought no result");
            let log = format!("{}[{}]\n", ended.log, error.detail);
            let failure = match exit.retry(task.stage) {
                Retry::Never => Failure::Permanent(error),
                Retry::Once => Failure::Suspected(error),
                Retry::AsUsual => Failure::Retryable(error),
                Retry::AsLost => Failure::Lost(error),
                Retry::WithRoom => Failure::NoRoom(error),
            };
            return End::Failed { failure, log };
        }
    };
    if result.stage() != task.stage {
        let detail = format!("The engine sent a result of stage {} for another one.", result.stage().as_str());
        return fail(detail, ended.log);
    }
    if !prepared::is_possible(worker, task, &result) {
        return fail("The engine says that it took over what it was not offered.".to_owned(), ended.log);
    }
    if files != result.files(&task.plan.work) {
        return fail("The engine says that it wrote other files than its task has.".to_owned(), ended.log);
    }
    let written = match check_outputs(scratch.path(), &files) {
        Ok(written) => written,
        Err(detail) => return fail(format!("An output is not taken: {detail}."), ended.log),
    };
    let summary = match task.stage {
        Stage::Inspect | Stage::Graph => read_summary(&written).await,
        _ => None,
    };
    // An inspection leaves nothing but the summary on the model.
    let mut kept = if task.stage == Stage::Inspect { Vec::new() } else { written };
    let upload = async {
        let for_later_jobs = prepared::keep(worker, task, &result, &mut kept).await?;
        let mut outputs = upload_outputs(worker, task, kept).await?;
        if let TaskResult::Verify(verified) = &result {
            outputs.push(put_page(worker, task, &verified.report).await?);
        }
        Ok((for_later_jobs, outputs))
    };
    match stop.run_until_cancelled(upload.instrument(info_span!("upload_outputs"))).await {
        None => End::GivenBack { log: ended.log },
        Some(Err(BlobError::Full)) => {
            let detail = "The outputs could not be stored: the disk is full, or only its reserve is free.";
            find_no_room(detail.to_owned(), ended.log)
        }
        Some(Err(error)) => fail(format!("The outputs could not be stored: {error}."), ended.log),
        Some(Ok((for_later_jobs, outputs))) => End::Finished(Box::new(Finished {
            stage: task.stage,
            index: task.plan.index,
            computed: Computed { result, device, computing_s: Some(computing_s) },
            outputs,
            summary,
            for_later_jobs,
            readings: told.borrow().readings.clone(),
            log: ended.log,
        })),
    }
}

/// What the task computes on: what its job requires, else what the worker has.
fn device(worker: &Worker, task: &ClaimedTask) -> Device {
    match task.order.spec().and_then(|spec| spec.requires.device) {
        Some(RequiredDevice::Cpu) => Device::Cpu,
        Some(RequiredDevice::Gpu) => Device::Cuda,
        None => worker.options.device,
    }
}

/// Copies the inputs, so that an engine cannot change what it was given. The data set may be as large as the disk: the engine opens it
/// through a link before it gives up its rights, and can read it from then on, but not write. What is lent is to be kept until it ends.
async fn fetch_inputs(worker: &Worker, task: &ClaimedTask, scratch: &Scratch) -> Result<Vec<Loan>, BlobError> {
    let mut lent = Vec::new();
    for input in &task.inputs {
        let path = scratch.path().join(&input.name);
        if input.name == DATASET {
            lent.extend(worker.blobs.place(&input.blob, input.sha256, &path).await?);
        } else {
            worker.blobs.fetch(&input.blob, input.sha256, &path).await?;
        }
    }
    lent.extend(prepared::fetch(worker, task, scratch.path()).await?);
    Ok(lent)
}

async fn upload_outputs(
    worker: &Worker,
    task: &ClaimedTask,
    written: Vec<(String, PathBuf)>,
) -> Result<Vec<Output>, BlobError> {
    let mut outputs = Vec::new();
    for (name, path) in written {
        let (sha256, bytes) = Sha256::of_file_aside(&path).await?;
        let lease = &task.lease;
        let blob = BlobKey::output(lease.job, task.stage, task.plan.index, lease.attempt, &name);
        worker.blobs.put_file(&blob, &path).await?;
        outputs.push(Output { name, blob, sha256, bytes });
    }
    Ok(outputs)
}

/// The report as a page, which no engine may write.
async fn put_page(worker: &Worker, task: &ClaimedTask, report: &Report) -> Result<Output, BlobError> {
    let lease = &task.lease;
    let origin = report_page::Origin { job: Some(lease.job), written_at: OffsetDateTime::now_utc() };
    let page = report_page::page(report, &origin);
    let blob = BlobKey::output(lease.job, task.stage, task.plan.index, lease.attempt, REPORT_PAGE);
    let (sha256, bytes) = (Sha256::of(page.as_bytes()), page.len() as u64);
    worker.blobs.put(&blob, page.into()).await?;
    Ok(Output { name: REPORT_PAGE.to_owned(), blob, sha256, bytes })
}

/// What was learnt about the model, for `GET /v1/models/{id}`.
async fn read_summary(written: &[(String, PathBuf)]) -> Option<ModelSummary> {
    let (_, path) = written.iter().find(|(name, _)| name == SUMMARY)?;
    let length = tokio::fs::metadata(path).await.ok()?.len();
    if length > LONGEST_SUMMARY {
        return None;
    }
    let json = tokio::fs::read(path).await.ok()?;
    serde_json::from_slice(&json).inspect_err(|error| tracing::warn!(%error, "summary.json is not readable")).ok()
}
