-- Every blob to which a row refers, for those who compare the store with the tables or save both. Whoever adds a column that names blobs
-- adds it here.
create view blob_reference as
    -- `may_be_missing`: a task whose checkpoint is gone starts over.
    select 'model' as kind, blob, false as may_be_missing from model where deleted_at is null
    union all select 'dataset', blob, false from dataset where deleted_at is null
    union all select 'artifact', blob, false from artifact
    union all select 'prepared', blob, false from prepared
    union all select 'checkpoint', checkpoint, true from task where checkpoint is not null;
