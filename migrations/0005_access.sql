-- Who may call. Whatever is uploaded or asked for belongs to a tenant: to that of the key that came with the request. What
-- was there before, and what comes without a key while a server has none, belongs to the tenant `default`.

alter table api_key
    add column tenant text not null default 'default',
    add column scope text not null default 'read' check (scope in ('read', 'submit', 'admin')),
    add column expires_at timestamptz;
alter table api_key alter column tenant drop default, alter column scope drop default;
create index api_key_by_tenant on api_key (tenant, id desc);
-- Whether there is a key in force is asked at every request that comes without one.
create index api_key_in_force on api_key (id) where revoked_at is null;

-- A browser that has shown a key. It may do what the key may, as long as the key is in force.
create table session (
    -- Of the token in the browser's cookie.
    sha256 text primary key,
    key_id uuid not null references api_key (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index session_by_expiry on session (expires_at);

-- The same bytes from two tenants are two rows and two blobs, so that no answer tells what others have uploaded.
alter table model add column tenant text not null default 'default';
alter table model alter column tenant drop default;
alter table model drop constraint model_sha256_key;
alter table model add constraint model_of_tenant unique (tenant, sha256);
create index model_by_tenant on model (tenant, id desc);

alter table dataset add column tenant text not null default 'default';
alter table dataset alter column tenant drop default;
alter table dataset drop constraint dataset_sha256_key;
alter table dataset add constraint dataset_of_tenant unique (tenant, sha256);
create index dataset_by_tenant on dataset (tenant, id desc);

alter table job add column tenant text not null default 'default';
alter table job alter column tenant drop default;
alter table job drop constraint job_idempotency_key_key;
alter table job add constraint job_of_tenant unique (tenant, idempotency_key);
create index job_by_tenant on job (tenant, id desc) where kind = 'prune';

-- A model belongs to one tenant, and what was measured of it with it: the fingerprint knows only contents.
alter table measurement drop constraint measurement_pkey;
alter table measurement add primary key (model_id, fingerprint, name);
drop index measurement_by_model;
