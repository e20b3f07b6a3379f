-- Who gets which task next, and what becomes of a task whose worker is gone. Everything that is added has a default, so that a
-- program of the release before goes on beside this schema.

alter table job
    -- Since when the job is paused: its tasks are `held` instead of `queued`.
    add column paused_at timestamptz,
    -- The job whose spec, model and data set it began from; that job may be deleted meanwhile.
    add column clone_of uuid,
    -- Seconds that attempts at its tasks ran, those of now apart.
    add column ran_s double precision not null default 0,
    -- When the latest event of progress was written: of a job with many tasks not every figure becomes one.
    add column progress_at timestamptz;

-- What a claim must know of the job, so that it reads one table.
alter table task
    add column tenant text not null default 'default',
    add column priority integer not null default 0,
    -- null: a worker with a GPU or without.
    add column needs_gpu boolean,
    add column needs_memory bigint,
    -- Version of what worker and engine say to each other; a worker that does not speak it leaves the task alone.
    add column protocol integer not null default 5,
    -- A task that has failed is not tried again before.
    add column not_before timestamptz,
    -- Workers that were lost with it since it last left a checkpoint.
    add column losses integer not null default 0;
update task set tenant = job.tenant from job where job.id = task.job_id and job.tenant <> 'default';

alter table task drop constraint task_state_check;
alter table task add constraint task_state_check
    check (state in ('queued', 'held', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'));

drop index task_queued;
create index task_queued on task ((stage <> 'inspect'), tenant, job_id, index) where state = 'queued';

-- What a tenant's tasks took of the workers lately: seconds, of which half are forgotten in an hour.
create table tenant_share (
    tenant text primary key,
    seconds double precision not null,
    at timestamptz not null
);

-- Processes that claim tasks.
create table worker (
    -- What stands before the slash in `task.worker`.
    name text primary key,
    -- The boot of a machine and the process ids that count there: with the two after it, which process this is, or that it is gone.
    machine text not null,
    pid integer not null,
    -- When the process began, in the kernel's ticks since the boot.
    pid_began bigint not null,
    version text not null,
    protocol integer not null,
    slots integer not null,
    has_gpu boolean not null,
    -- For each slot.
    memory_bytes bigint,
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp()
);
create index worker_by_machine on worker (machine);

-- Jobs that went since nobody deleted them in time: that they were there is told for a while.
create table expired_job (
    id uuid primary key,
    tenant text not null,
    at timestamptz not null default clock_timestamp()
);
create index expired_job_by_age on expired_job (at);
