-- The arrays that jobs have made of data sets of pictures, recordings and tables, for later jobs on the same data set that want the
-- same. A data set belongs to one tenant, and what was prepared of it with it.
create table prepared (
    -- Its own, and no other row's. While there is a row there is a blob.
    blob text primary key,
    dataset_id uuid not null references dataset (id),
    -- Digest of all that the arrays depend on beside the data set; null when no other job may take them: another one has prepared the same
    -- at the same time, or they turned out to be damaged.
    fingerprint text,
    sha256 text not null,
    bytes bigint not null,
    -- `dataset.json`: the arrays, so that later jobs need not read them for that.
    summary jsonb not null,
    -- What the report says of the source; null where arrays were only unpacked.
    source jsonb,
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    constraint prepared_once unique (dataset_id, fingerprint)
);

-- Of a task of the stage `prepare`: what it is offered, then what its job uses. As long as the job has not ended, the row stays.
alter table task add column prepared text references prepared (blob) on delete set null;
create index task_by_prepared on task (prepared) where prepared is not null;
