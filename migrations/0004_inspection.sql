-- An inspection looks at a model and prunes nothing. It is a job of one task that the API shows with its model and not among the jobs.
alter table job add column kind text not null default 'prune' check (kind in ('prune', 'inspect'));
alter table job drop constraint job_check2;
alter table job add constraint job_has_result check ((status = 'succeeded' and kind = 'prune') = (result is not null));

create index job_inspection on job (model_id, id desc) where kind = 'inspect';

-- Somebody waits for an inspection, and it takes seconds: it goes before what jobs have queued.
drop index task_queued;
create index task_queued on task ((stage <> 'inspect'), job_id, index) where state = 'queued';
