-- Where in a distributed trace a job was submitted (W3C Trace Context), so that its tasks continue that trace on whatever worker.
alter table job add column traceparent text;
