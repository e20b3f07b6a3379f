-- What the webhooks of jobs are told: one row for each event that a job's spec asks for, written in the transaction of the event.
drop index webhook_delivery_due;
alter table webhook_delivery
    drop column last_error,
    add column event text not null,
    -- The document as it is signed and sent, the same in every attempt.
    add column body text not null,
    add column state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    -- Attempts that brought nothing since the delivery was first or last asked for. `attempt` counts all, and is the fencing token.
    add column failures integer not null default 0,
    -- While an attempt is under way this is when its lease ends.
    alter column next_attempt_at drop not null,
    add constraint webhook_delivery_once unique (job_id, event_seq),
    add constraint webhook_delivery_is_due check ((state = 'pending') = (next_attempt_at is not null)),
    add constraint webhook_delivery_has_arrived check ((state = 'delivered') = (delivered_at is not null));
create index webhook_delivery_due on webhook_delivery (next_attempt_at) where state = 'pending';

create table webhook_attempt (
    delivery_id uuid not null references webhook_delivery (id) on delete cascade,
    number integer not null,
    started_at timestamptz not null default clock_timestamp(),
    -- Null while it is under way, and for ever when its server was lost.
    ended_at timestamptz,
    status_code integer,
    error text,
    primary key (delivery_id, number)
);

-- What deliveries are signed with. It is kept as it is, since who signs needs it.
create table webhook_secret (
    id uuid primary key,
    tenant text not null,
    secret text not null,
    -- Whether somebody was given it. One that was made because a delivery had to be signed is known to nobody.
    was_shown boolean not null,
    created_at timestamptz not null default now(),
    -- From when on it signs nothing, once another has taken its place.
    retires_at timestamptz
);
create index webhook_secret_by_tenant on webhook_secret (tenant, id desc);
create unique index webhook_secret_unshown on webhook_secret (tenant) where not was_shown and retires_at is null;
create index webhook_secret_retired on webhook_secret (retires_at) where retires_at is not null;
