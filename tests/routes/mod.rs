//! Every route with every answer it can give.

mod access;
mod artifacts;
mod dashboard;
mod datasets;
mod errors;
mod jobs;
mod models;
mod reference;
mod service;
mod uploads;
