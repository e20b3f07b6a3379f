-- Key of the blob from which another attempt at the task can go on. Written by the attempt that holds the lease, never by an
-- earlier one. It stays when the task ends, so that deleting the job frees the blob even if a worker died before it did.
alter table task add column checkpoint text;
