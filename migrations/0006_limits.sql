-- Uploads can be deleted and expire. The row of one that jobs refer to stays as a tombstone, without name, summary and blob,
-- until the last of them is gone; nobody sees it, and the same bytes can be uploaded again.
alter table model
    add column deleted_at timestamptz,
    -- When somebody last uploaded it; when a job last used it, the jobs tell.
    add column uploaded_at timestamptz not null default now();
alter table model drop constraint model_of_tenant;
create unique index model_of_tenant on model (tenant, sha256) where deleted_at is null;

alter table dataset
    add column deleted_at timestamptz,
    add column uploaded_at timestamptz not null default now();
alter table dataset drop constraint dataset_of_tenant;
create unique index dataset_of_tenant on dataset (tenant, sha256) where deleted_at is null;

create index job_finished on job (finished_at) where finished_at is not null;

-- Blobs to which no row refers, not yet or not any more. A blob is written down here before it is stored and in the transaction
-- that deletes its row, and taken out in the transaction that inserts its row or after it was freed: a crash leaves no blob unknown.
create table loose_blob (
    -- A key; with `/` at its end everything below.
    blob text primary key,
    free_after timestamptz not null
);
create index loose_blob_due on loose_blob (free_after);

-- What is left of the requests that a caller may make. It refills with time, so a row tells only what was left `at`.
create table request_allowance (
    caller text primary key,
    tokens double precision not null,
    -- Whether the latest request was let through.
    granted boolean not null,
    at timestamptz not null
);
