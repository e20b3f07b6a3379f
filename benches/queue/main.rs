//! How many tasks a second the queue hands out and takes back, and what a long history costs.
//!
//! ```text
//! cargo bench -p secateur --features secateur-core/testing --bench queue -- [WORKERS …] [--jobs N] [--history JOBS]
//! ```
//!
//! It starts a PostgreSQL of its own, as durable as a server's, with the server's schema. For each number of workers it submits jobs
//! without data (seven tasks each, in six stages that follow each other), and so many workers take turns: claim, one heartbeat, finish with a
//! made-up result, which inserts the next stage's tasks. What is real: every transaction, lock, index and NOTIFY. What is not there: engines, blobs,
//! the network between worker and database. A worker here never rests, so 8 of them ask as much as 480 whose tasks last a minute each take.
//!
//! With `--history` it fills the tables first with so many jobs that have ended, six tasks and a hundred events each, and times what a server
//! asks most: the claim, one job with its progress, the first page of a tenant's jobs, the events of a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use secateur::access::{Caller, Scope, Tenant};
use secateur::blob::BlobKey;
use secateur::database::Database;
use secateur::digest::Sha256;
use secateur::id::{JobId, ModelId};
use secateur::queue::{Capacity, ClaimedTask, Finished, ForLaterJobs, NewSubmission, Queue, Report, Share};
use secateur::quota::Quotas;
use secateur::table::artifact::Output;
use secateur::table::job::Filter;
use secateur::table::{NewUpload, event, job, model, task};
use secateur_core::spec::JobSpec;
use secateur_core::wire::{Computed, Progress};
use secateur_postgres::{PrivatePostgres, Settings};

/// PostgreSQL's own default is 100, of which some are kept for administrators.
const MOST_CONNECTIONS: u32 = 90;
const EVENTS_OF_A_JOB: i64 = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Arguments {
    workers: Vec<usize>,
    jobs: usize,
    history: usize,
}

impl Arguments {
    fn parse() -> Result<Self, Failure> {
        let mut parsed = Self { workers: Vec::new(), jobs: 400, history: 0 };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut number = || -> Result<usize, Failure> { Ok(words.next().ok_or("a number is missing")?.parse()?) };
            match word.as_str() {
                "--jobs" => parsed.jobs = number()?,
                "--history" => parsed.history = number()?,
                workers => parsed.workers.push(workers.parse()?),
            }
        }
        if parsed.workers.is_empty() {
            parsed.workers = vec![1, 8, 64, 512];
        }
        Ok(parsed)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse()?;
    let folder = tempfile::Builder::new().prefix("secateur-bench-").tempdir()?;
    // The user of a PostgreSQL that root starts has to pass through.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let settings = Settings { max_connections: Some(MOST_CONNECTIONS + 10), ..Settings::default() };
    let postgres = PrivatePostgres::start_with(folder.path(), settings).await?;
    let database = Database::new(postgres.options(), MOST_CONNECTIONS, Duration::from_mins(5));
    database.migrate().await?;
    let model = insert_model(&database).await?;

    if arguments.history > 0 {
        fill(&database, model, arguments.history).await?;
    }
    println!("workers  jobs  tasks/s  claim p50  p99 ms  finish p50  p99 ms  submit p50 ms");
    for workers in arguments.workers {
        let queue = Queue::new(database.clone(), Duration::from_mins(1));
        println!("{}", measure(&queue, model, workers, arguments.jobs).await?);
    }
    if arguments.history > 0 {
        print_reads(&database).await?;
    }
    database.close().await;
    postgres.stop().await;
    Ok(())
}

async fn insert_model(database: &Database) -> Result<ModelId, Failure> {
    let (id, tenant) = (ModelId::generate(), Tenant::of_nobody());
    let blob = BlobKey::model(&tenant, id);
    let upload = NewUpload { id, tenant: &tenant, name: None, sha256: Sha256::of(b"model"), bytes: 1, blob: &blob };
    model::insert(database.pool(), &upload).await?;
    Ok(id)
}

/// A line of the table.
async fn measure(queue: &Queue, model: ModelId, workers: usize, jobs: usize) -> Result<String, Failure> {
    let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "fine_tune": null}"#;
    let spec = JobSpec::from_json(spec).map_err(|refused| refused.detail)?;
    let caller = Caller { tenant: Tenant::of_nobody(), scope: Scope::Submit, key_id: None };
    let mut submits = Vec::new();
    for _ in 0..jobs {
        let submission = NewSubmission {
            caller: caller.clone(),
            spec: spec.clone(),
            model_id: model,
            dataset_id: None,
            clone_of: None,
            idempotency_key: None,
        };
        let started = Instant::now();
        queue.submit(submission, Quotas::default()).await?;
        submits.push(started.elapsed());
    }
    let left = Arc::new(AtomicUsize::new(jobs));
    let started = Instant::now();
    let running: Vec<_> = (0..workers).map(|number| tokio::spawn(work(queue.clone(), number, left.clone()))).collect();
    let (mut claims, mut finishes) = (Vec::new(), Vec::new());
    for worker in running {
        let (claimed, finished) = worker.await??;
        claims.extend(claimed);
        finishes.extend(finished);
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!(
        "{workers:7} {jobs:5} {:8.0} {:10.1} {:7.1} {:11.1} {:7.1} {:14.1}",
        finishes.len() as f64 / seconds,
        quantile(&mut claims, 0.5),
        quantile(&mut claims, 0.99),
        quantile(&mut finishes, 0.5),
        quantile(&mut finishes, 0.99),
        quantile(&mut submits, 0.5),
    ))
}

/// One worker, until every job has ended: the times of its claims that gave a task, and of its finishes.
async fn work(queue: Queue, number: usize, left: Arc<AtomicUsize>) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let name = format!("worker-{number}/0");
    let (mut claims, mut finishes) = (Vec::new(), Vec::new());
    while left.load(Ordering::Relaxed) > 0 {
        let started = Instant::now();
        let Some(task) = queue.claim(&name, Share::Jobs, Capacity::default()).await? else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        claims.push(started.elapsed());
        let progress = Progress { done: 1, total: 2, unit: "steps".to_owned(), rate: None, note: None };
        queue
            .heartbeat(&task.lease, task.stage, task.plan.index, Some(Report { progress: &progress, readings: &[] }))
            .await?;
        let finished = made_up(&task);
        let started = Instant::now();
        queue.finish(&task.lease, &finished).await?;
        finishes.push(started.elapsed());
        if task.stage == secateur_core::stage::Stage::Verify {
            left.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Ok((claims, finishes))
}

fn made_up(task: &ClaimedTask) -> Finished {
    let result = task.plan.work.sample();
    let lease = &task.lease;
    let output = |name: String| Output {
        blob: BlobKey::output(lease.job, task.stage, task.plan.index, lease.attempt, &name),
        sha256: Sha256::of(b"output"),
        bytes: 1,
        name,
    };
    Finished {
        stage: task.stage,
        index: task.plan.index,
        outputs: result.files(&task.plan.work).into_iter().map(output).collect(),
        computed: Computed { result, device: "cpu".to_owned(), computing_s: Some(0.0) },
        summary: None,
        for_later_jobs: ForLaterJobs::default(),
        readings: Vec::new(),
        log: "worked\n".to_owned(),
    }
}

/// Jobs that have ended, copied from one that really went through, so that rows have their real sizes.
async fn fill(database: &Database, model: ModelId, jobs: usize) -> Result<(), Failure> {
    let queue = Queue::new(database.clone(), Duration::from_mins(1));
    measure(&queue, model, 1, 1).await?;
    let started = Instant::now();
    let statements = [
        "create temporary table copy as
             select gen_random_uuid() as id, job.id as of from job cross join generate_series(1, $1) where kind = 'prune'",
        "insert into job (id, tenant, kind, name, status, stage, spec, labels, model_id, best, result, request_sha256, last_event,
                          created_at, started_at, finished_at)
             select copy.id, tenant, kind, name, status, stage, spec, labels, model_id, best, result, request_sha256, $1,
                    created_at, started_at, finished_at
             from copy join job on job.id = copy.of",
        "insert into task (id, job_id, stage, index, plan, state, attempt, result, log, created_at, started_at, finished_at)
             select gen_random_uuid(), copy.id, stage, index, plan, state, attempt, result, log, created_at, started_at, finished_at
             from copy join task on task.job_id = copy.of where $1 > 0",
        "insert into event (job_id, seq, type, data)
             select copy.id, seq, 'progress',
                    '{\"stage\": \"screen\", \"index\": 0, \"done\": 1, \"total\": 2, \"unit\": \"candidates\"}'
             from copy cross join generate_series(1, $1) as seq",
    ];
    let mut connection = database.pool().acquire().await?;
    // A server gives a statement a minute.
    sqlx::query("set statement_timeout = 0").execute(&mut *connection).await?;
    for (statement, argument) in statements.into_iter().zip([jobs as i64, EVENTS_OF_A_JOB, 1, EVENTS_OF_A_JOB]) {
        sqlx::query(statement).bind(argument).execute(&mut *connection).await?;
    }
    sqlx::query("vacuum analyze").execute(&mut *connection).await?;
    println!(
        "{jobs} jobs that ended, with their tasks and events, took {:.0} s to insert",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What is read most, with a long history, in milliseconds.
async fn print_reads(database: &Database) -> Result<(), Failure> {
    let pool = database.pool();
    let ids: Vec<JobId> = sqlx::query_scalar("select id from job where kind = 'prune' order by random() limit 200")
        .fetch_all(pool)
        .await?;
    let filter = Filter { tenant: Tenant::of_nobody(), status: None, label: None, before: None };
    let (mut shown, mut listed, mut followed) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let started = Instant::now();
        job::find(pool, id).await?;
        task::progress(pool, &[id]).await?;
        shown.push(started.elapsed());
        let started = Instant::now();
        let page = job::list(pool, &filter, 51).await?;
        let of_page: Vec<JobId> = page.iter().map(|job| job.id).collect();
        task::progress(pool, &of_page).await?;
        listed.push(started.elapsed());
        let started = Instant::now();
        event::list(pool, id, 50, 50).await?;
        followed.push(started.elapsed());
    }
    println!("read              p50     p99 ms");
    for (what, times) in [("a job", &mut shown), ("a page of jobs", &mut listed), ("a page of events", &mut followed)] {
        println!("{what:16} {:5.1} {:10.1}", quantile(times, 0.5), quantile(times, 0.99));
    }
    Ok(())
}

/// Milliseconds.
fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() as f64 - 1.0) * part).round() as usize;
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
