-- What was measured of a model on a data set, for later jobs on the same two. It goes when either of them goes.
create table measurement (
    -- Digest of all that the value depends on.
    fingerprint text not null,
    name text not null,
    value jsonb not null,
    model_id uuid not null references model (id) on delete cascade,
    dataset_id uuid not null references dataset (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (fingerprint, name)
);

create index measurement_by_model on measurement (model_id);
create index measurement_by_dataset on measurement (dataset_id);

-- What the job took over from there, as it was when its stages were planned.
alter table job add column reused jsonb not null default '{}';
