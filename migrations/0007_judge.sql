-- A task that no worker takes: it waits for scores from outside until its deadline, which is on this clock.
alter table task drop constraint task_state_check;
alter table task add constraint task_state_check
    check (state in ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'));
alter table task add column deadline timestamptz;
alter table task add constraint task_waits_until check (state <> 'waiting' or deadline is not null);
create index task_waiting on task (deadline) where state = 'waiting';

-- What the judge of a job said of its finalists; the latest word while the judgement is open.
create table judgement (
    job_id uuid not null references job (id) on delete cascade,
    -- Its index in the job.
    candidate integer not null check (candidate >= 0),
    score double precision not null,
    at timestamptz not null default clock_timestamp(),
    primary key (job_id, candidate)
);
