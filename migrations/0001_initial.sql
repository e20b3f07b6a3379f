-- The only state store. Bytes are in the object store; rows hold their keys and digests.
-- Lock order everywhere: the job row first, its tasks and events after it.

create table model (
    id uuid primary key,
    name text,
    sha256 text not null unique,
    bytes bigint not null,
    blob text not null,
    -- `summary.json` of the latest import; null until a job has imported the model.
    summary jsonb,
    created_at timestamptz not null default now()
);

create table dataset (
    id uuid primary key,
    name text,
    sha256 text not null unique,
    bytes bigint not null,
    blob text not null,
    -- Arrays, shapes and splits, from the file's headers.
    summary jsonb not null,
    created_at timestamptz not null default now()
);

create table job (
    id uuid primary key,
    name text,
    status text not null default 'queued'
        check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    stage text not null,
    spec jsonb not null,
    labels jsonb not null,
    model_id uuid not null references model (id),
    dataset_id uuid references dataset (id),
    best jsonb,
    result jsonb,
    error jsonb,
    idempotency_key text unique,
    -- Digest of what was asked under the key: the same key with something else is refused.
    request_sha256 text not null,
    -- Sequence number of the job's latest event; rises under the job's row lock, so that events are seen in order.
    last_event bigint not null default 0,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
    check ((status = 'failed') = (error is not null)),
    check ((status = 'succeeded') = (result is not null))
);

create index job_by_status on job (status, id desc);
create index job_by_model on job (model_id);
create index job_by_dataset on job (dataset_id) where dataset_id is not null;

create table task (
    id uuid primary key,
    job_id uuid not null references job (id) on delete cascade,
    stage text not null,
    index integer not null check (index >= 0),
    -- `work` and `inputs` as the planner gave them.
    plan jsonb not null,
    state text not null default 'queued'
        check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    -- Fencing token: rises with every claim; a write that carries an older one is refused.
    attempt integer not null default 0,
    -- Crashes and lost workers so far; a task that was given back has not failed.
    failures integer not null default 0,
    worker text,
    lease_expires_at timestamptz,
    progress jsonb,
    result jsonb,
    -- What the engine said, over all attempts; bounded.
    log text not null default '',
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    unique (job_id, stage, index),
    check ((state = 'running') = (lease_expires_at is not null)),
    check ((state = 'succeeded') = (result is not null))
);

-- Ids are UUID v7, so ordering by job is ordering by age.
create index task_queued on task (job_id, index) where state = 'queued';
create index task_leased on task (lease_expires_at) where state = 'running';

create table event (
    job_id uuid not null references job (id) on delete cascade,
    seq bigint not null,
    type text not null,
    data jsonb not null,
    at timestamptz not null default clock_timestamp(),
    primary key (job_id, seq)
);

-- An output exists only once its row is here.
create table artifact (
    job_id uuid not null references job (id) on delete cascade,
    stage text not null,
    index integer not null,
    name text not null,
    blob text not null,
    sha256 text not null,
    bytes bigint not null,
    created_at timestamptz not null default now(),
    primary key (job_id, stage, index, name)
);

create table webhook_delivery (
    id uuid primary key,
    job_id uuid not null references job (id) on delete cascade,
    event_seq bigint not null,
    url text not null,
    attempt integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    delivered_at timestamptz,
    last_error text,
    created_at timestamptz not null default now()
);

create index webhook_delivery_due on webhook_delivery (next_attempt_at) where delivered_at is null;

create table api_key (
    id uuid primary key,
    name text not null,
    -- Of the key; the key itself is shown once and never stored.
    sha256 text not null unique,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
