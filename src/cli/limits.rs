//! Limits of `secateur serve`: what one client may take, and how long it is kept.

use std::time::Duration;

use clap::Args;

use crate::http::connection::ConnectionLimits;
use crate::quota::Quotas;
use crate::upkeep::Keep;

#[derive(Debug, Args)]
pub(super) struct LimitOptions {
    /// Connections in all; fewer where the process may not open as many files
    #[arg(long, env = "SECATEUR_MAX_CONNECTIONS", value_name = "N", default_value_t = ConnectionLimits::default().total, value_parser = at_least_one)]
    max_connections: usize,
    /// Connections from one address; from loopback as many as in all
    #[arg(long, env = "SECATEUR_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = ConnectionLimits::default().per_address, value_parser = at_least_one)]
    max_connections_per_address: usize,
    /// Jobs of a tenant that may be queued or running, 0 for no limit; for callers with a key
    #[arg(long, env = "SECATEUR_MAX_JOBS", value_name = "N", default_value_t = 100)]
    max_jobs: u64,
    /// Bytes of models, data sets and artifacts that a tenant may store, 0 for no limit; for callers with a key
    #[arg(long, env = "SECATEUR_MAX_STORED_BYTES", value_name = "BYTES", default_value_t = 100 << 30)]
    max_stored_bytes: u64,
    /// Requests that a key may make in a minute, 0 for no limit
    #[arg(long, env = "SECATEUR_REQUESTS_PER_MINUTE", value_name = "N", default_value_t = 1200)]
    requests_per_minute: u64,
    /// Days after which models and data sets go that nobody has uploaded and no job has used [default: never]
    #[arg(long, env = "SECATEUR_KEEP_UPLOADS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep_uploads: Option<u32>,
    /// Days after which jobs go that have ended [default: never]
    #[arg(long, env = "SECATEUR_KEEP_JOBS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep_jobs: Option<u32>,
}

impl LimitOptions {
    pub(super) fn connections(&self) -> ConnectionLimits {
        let (total, per_address) = (self.max_connections, self.max_connections_per_address);
        ConnectionLimits { total, per_address, ..ConnectionLimits::default() }
    }

    pub(super) fn quotas(&self) -> Quotas {
        let limited = |most: u64| (most > 0).then_some(most);
        Quotas {
            open_jobs: limited(self.max_jobs),
            stored_bytes: limited(self.max_stored_bytes),
            requests_per_minute: limited(self.requests_per_minute),
        }
    }

    pub(super) fn keep(&self) -> Keep {
        Keep { uploads: self.keep_uploads.map(days), jobs: self.keep_jobs.map(days) }
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number >= 1).ok_or_else(|| "it must be a whole number of at least 1".to_owned())
}
