//! What no row may ever say, whatever was done: each fault is a query that finds it.

use sqlx::PgPool;

/// Jobs and tasks as they stand, to see that something changed nothing.
const STANDING: &str = "select coalesce((select string_agg(job::text, '\n' order by id) from job), '')
                               || coalesce((select string_agg(task::text, '\n' order by id) from task), '')";

/// A name and the jobs that have the fault.
const FAULTS: [(&str, &str); 12] = [
    (
        "a job that ended has a task that waits for a worker or a judge",
        "select distinct job.id from job join task on job_id = job.id
         where job.finished_at is not null and state in ('queued', 'held', 'waiting')",
    ),
    (
        "an open job has no task that can go on",
        "select id from job where finished_at is null and not exists (
             select 1 from task where job_id = job.id and state in ('queued', 'held', 'running', 'waiting'))",
    ),
    (
        "a task of a paused job can be claimed",
        "select distinct job.id from job join task on job_id = job.id where paused_at is not null and state = 'queued'",
    ),
    (
        "a task is held though its job is not paused",
        "select distinct job.id from job join task on job_id = job.id where paused_at is null and state = 'held'",
    ),
    (
        "an open task is not of the stage in which its job is",
        "select distinct job.id from job join task on job_id = job.id
         where task.stage <> job.stage and job.finished_at is null
               and task.state in ('queued', 'held', 'running', 'waiting')",
    ),
    (
        "a stage began twice",
        "select job_id from event where type = 'stage' group by job_id, data ->> 'stage' having count(*) > 1",
    ),
    (
        "the numbers of the events have a gap",
        "select id from job
         where row(1::bigint, last_event, last_event) is distinct from
               (select row(min(seq), max(seq), count(*)) from event where job_id = job.id)",
    ),
    (
        "a job has ended without a final event, has one and has not ended, or has several",
        "select id from job
         where (finished_at is not null)::int <>
               (select count(*) from event where job_id = job.id and type in ('succeeded', 'failed', 'cancelled'))",
    ),
    (
        "the final event is not that of the status, or not the last",
        "select id from job
         where finished_at is not null and status is distinct from
               (select type from event where job_id = job.id and seq = last_event)",
    ),
    (
        "pauses and resumptions do not add up",
        "select id from (
             select id, finished_at is not null as has_ended, (paused_at is not null)::int as is_paused,
                    (select count(*) filter (where type = 'paused') - count(*) filter (where type = 'resumed')
                     from event where job_id = job.id) as pauses
             from job) as counted
         where case when has_ended then is_paused <> 0 or pauses not in (0, 1) else is_paused <> pauses end",
    ),
    (
        "a webhook is not told exactly what happened",
        "select id from job
         where array(select seq from event where job_id = job.id
                         and type in ('succeeded', 'failed', 'cancelled', 'judgement_asked') order by seq)
               <> array(select event_seq from webhook_delivery where job_id = job.id order by event_seq)",
    ),
    (
        "a task was done whose result is not there, or an attempt was counted that nobody made",
        "select job_id from task
         where (state = 'succeeded' and stage <> 'judge' and attempt = 0) or failures + losses > attempt",
    ),
];

/// The faults that there are, with the jobs that have them.
pub(super) async fn find(pool: &PgPool) -> Vec<String> {
    let parts: Vec<String> =
        FAULTS.iter().map(|(name, query)| format!("select '{name}: ' || id from ({query}) as found(id)")).collect();
    let union = sqlx::AssertSqlSafe(parts.join("\nunion all\n"));
    sqlx::query_scalar(union).fetch_all(pool).await.unwrap()
}

pub(super) async fn standing(pool: &PgPool) -> String {
    sqlx::query_scalar(STANDING).fetch_one(pool).await.unwrap()
}
