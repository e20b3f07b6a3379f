//! Tests of the server as a whole. They speak HTTP to a server that runs in this process, on a database of its own; what a worker
//! would do, the queue's tests do by hand. Only tests in `with_engine` start the real engine, and they fail when it is not built.

mod cli;
mod harness;
mod hostile;
mod queue;
mod routes;
mod webhooks;
mod with_engine;
