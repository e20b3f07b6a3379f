//! Secateur's server: HTTP API, queue, worker supervisor and command line around [`secateur_core`].

pub mod access;
pub mod artifact;
pub mod backup;
pub mod blob;
pub mod cli;
pub mod database;
pub mod digest;
pub mod doctor;
pub mod engine;
pub mod event_feed;
pub mod http;
pub mod id;
pub mod job;
pub mod local;
pub mod metrics;
pub mod queue;
pub mod quota;
pub mod readiness;
pub mod report_page;
pub mod server;
pub mod table;
pub mod trace;
pub mod upkeep;
pub mod upload;
pub mod webhook;
pub mod worker;
