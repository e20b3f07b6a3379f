mod bodies;
mod connections;
mod database_away;
mod disk;
mod metrics;
mod openapi;
mod readiness;
mod requests;
