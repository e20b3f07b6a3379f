//! Tests of the server as a whole. They speak HTTP to a server that runs in this process on a private Postgres; what a
//! worker would do, the queue's tests do by hand. Tests in `jobs` and `cli` run the real engine and fail when it is not built.

mod cli;
mod harness;
mod hostile;
mod jobs;
mod queue;
mod routes;
