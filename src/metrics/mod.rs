//! Metrics in Prometheus' text format: what this process has counted, and what it finds when it is asked.
//!
//! [`Metrics`] is what others record to while they work: requests, tasks, engines. [`Exposition`] writes it out, with what is looked up at that
//! moment: connections of the pool, the disk, and on a server the [`figures`] of the whole queue, which are read from the database by one
//! statement that may take [`figures::LONGEST`], and once a second at most however many ask. Nothing here is known by tenant, and no label holds
//! a name that a user chose: stages, states, routes and status codes are words of this program. A database that is away shows as
//! `secateur_database_up 0` and leaves out what it would have told. What a process has counted starts at 0 with it, as Prometheus expects.

mod exposition;
mod figures;

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};
use secateur_core::stage::Stage;

pub use exposition::{CONTENT_TYPE, Exposition};
pub use figures::Figures;

/// Seconds: most requests take milliseconds, and `?wait=` may last a minute.
const REQUEST_BUCKETS: [f64; 10] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];
/// Seconds: an import takes one, a fine-tune may take the six hours of `--task-timeout`.
const TASK_BUCKETS: [f64; 11] = [0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0];
/// Bytes: from libtorch alone to a large machine, each twice the one before.
const LEAST_MEMORY: f64 = (256_u64 << 20) as f64;
const MEMORY_BUCKETS: usize = 10;

/// What a process counts; clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    tasks: HistogramVec,
    engine_memory: HistogramVec,
    lease_expiries: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests = histogram(
            &registry,
            "secateur_http_request_duration_seconds",
            "Time from a request's head to the head of its answer.",
            &["method", "path", "status"],
            REQUEST_BUCKETS.to_vec(),
        );
        let tasks = histogram(
            &registry,
            "secateur_task_duration_seconds",
            "Time that attempts at tasks took on this process's slots.",
            &["stage", "outcome"],
            TASK_BUCKETS.to_vec(),
        );
        let memory_buckets = prometheus::exponential_buckets(LEAST_MEMORY, 2.0, MEMORY_BUCKETS);
        let engine_memory = histogram(
            &registry,
            "secateur_engine_peak_memory_bytes",
            "The most memory that an engine had at once, as far as it was seen.",
            &["stage"],
            memory_buckets.expect("the bounds rise"),
        );
        let lease_expiries = IntCounter::new(
            "secateur_lease_expiries_total",
            "Tasks that this process took from workers that had fallen silent.",
        )
        .expect("it is a name");
        registry.register(Box::new(lease_expiries.clone())).expect("no other has its name");
        Self { registry, requests, tasks, engine_memory, lease_expiries }
    }

    /// A request that was answered; `path` is the route as it is described, never the path as it came.
    pub fn observe_request(&self, method: &str, path: &str, status: u16, took: Duration) {
        let status = status.to_string();
        self.requests.with_label_values(&[method, path, status.as_str()]).observe(took.as_secs_f64());
    }

    /// An attempt at a task that ended on a slot of this process.
    pub fn observe_task(&self, stage: Stage, outcome: &str, took: Duration) {
        let outcome = outcome.replace(' ', "_");
        self.tasks.with_label_values(&[stage.as_str(), outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// The most memory that an engine had at once.
    pub fn observe_engine(&self, stage: Stage, peak_bytes: u64) {
        self.engine_memory.with_label_values(&[stage.as_str()]).observe(peak_bytes as f64);
    }

    /// A task that was taken from a silent worker.
    pub fn count_lease_expiries(&self, expiries: u64) {
        self.lease_expiries.inc_by(expiries);
    }
}

fn histogram(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: Vec<f64>) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets);
    let histogram = HistogramVec::new(options, labels).expect("names and bounds are valid");
    registry.register(Box::new(histogram.clone())).expect("no other has its name");
    histogram
}
