//! Every route with every answer it can give.

mod artifacts;
mod datasets;
mod jobs;
mod models;
mod service;
