//! `/v1/quotas`: what the caller's tenant has, and what it may have.

pub(super) mod show;

use serde::Serialize;
use utoipa::ToSchema;

use crate::quota::{Quotas, Use};

/// What the caller's tenant has and may have. Callers without a key, on a server without keys, have no quotas.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quotas)]
pub(super) struct QuotasOut {
    /// Jobs that are queued or running.
    open_jobs: QuotaOut,
    /// Bytes of models, data sets and artifacts, and of what unfinished jobs have prepared of data sets.
    stored_bytes: QuotaOut,
    /// Requests that a key may make in a minute; `null` without a limit.
    requests_per_minute: Option<u64>,
}

/// One quota.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub(super) struct QuotaOut {
    used: u64,
    /// `null` without a limit.
    most: Option<u64>,
}

impl QuotasOut {
    fn new(used: Use, most: Quotas) -> Self {
        Self {
            open_jobs: QuotaOut { used: used.open_jobs, most: most.open_jobs },
            stored_bytes: QuotaOut { used: used.stored_bytes, most: most.stored_bytes },
            requests_per_minute: most.requests_per_minute,
        }
    }
}
