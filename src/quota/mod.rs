//! Quotas: how much a tenant may have and how much a key may ask, so that nobody takes a shared server for itself.
//!
//! Jobs and bytes are counted in the transaction that adds to them, one transaction of a tenant at a time, so they are never
//! exceeded by several requests at once. Requests are counted in one statement, on the database's clock, for all servers
//! together. Whoever comes without a key, which a server without keys allows, is the operator's own and has no quotas.

use std::time::Duration;

use crate::access::{Caller, Tenant};
use crate::database::{Database, DatabaseError, Transaction};
use crate::table::request_allowance::{self, Allowance};
use crate::table::usage;

/// What everyone with a key may have; `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Jobs of a tenant that are queued or running.
    pub open_jobs: Option<u64>,
    /// Bytes of a tenant's models, data sets and artifacts, and of what its unfinished jobs have prepared of data sets.
    pub stored_bytes: Option<u64>,
    /// Requests of a key, as many at once and so many again in every minute.
    pub requests_per_minute: Option<u64>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { open_jobs: Some(100), stored_bytes: Some(100 << 30), requests_per_minute: Some(1200) }
    }
}

/// A quota that would be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaExceeded {
    #[error("{open} jobs are queued or running, and {most} are allowed")]
    OpenJobs { open: u64, most: u64 },
    #[error("{stored} bytes are stored, and {most} are allowed: there is no room for {more} more")]
    StoredBytes { stored: u64, more: u64, most: u64 },
}

/// A caller has made too many requests and may make the next one after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyRequests {
    pub per_minute: u64,
    pub wait: Duration,
}

/// What a tenant has of what quotas limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    pub open_jobs: u64,
    pub stored_bytes: u64,
}

impl Use {
    /// What it has now; the next moment it may be more.
    pub async fn of(database: &Database, tenant: &Tenant) -> Result<Self, DatabaseError> {
        let open_jobs = usage::open_jobs(database.pool(), tenant).await?;
        let stored_bytes = usage::stored_bytes(database.pool(), tenant).await?;
        Ok(Self { open_jobs, stored_bytes })
    }
}

impl Quotas {
    /// Those that hold for a caller.
    #[must_use]
    pub fn of(self, caller: &Caller) -> Self {
        match caller.key_id {
            Some(_) => self,
            None => Self { open_jobs: None, stored_bytes: None, requests_per_minute: None },
        }
    }

    /// Says whether the caller may have one more job, and keeps others of its tenant from adding one until the transaction ends.
    pub async fn check_jobs(
        self,
        transaction: &mut Transaction,
        caller: &Caller,
    ) -> Result<Result<(), QuotaExceeded>, DatabaseError> {
        let Some(most) = self.of(caller).open_jobs else { return Ok(Ok(())) };
        usage::lock(&mut **transaction, &caller.tenant).await?;
        let open = usage::open_jobs(&mut **transaction, &caller.tenant).await?;
        Ok(if open < most { Ok(()) } else { Err(QuotaExceeded::OpenJobs { open, most }) })
    }

    /// The same of so many more bytes.
    pub async fn check_bytes(
        self,
        transaction: &mut Transaction,
        caller: &Caller,
        more: u64,
    ) -> Result<Result<(), QuotaExceeded>, DatabaseError> {
        let Some(most) = self.of(caller).stored_bytes else { return Ok(Ok(())) };
        usage::lock(&mut **transaction, &caller.tenant).await?;
        let stored = usage::stored_bytes(&mut **transaction, &caller.tenant).await?;
        let fits = stored.saturating_add(more) <= most;
        Ok(if fits { Ok(()) } else { Err(QuotaExceeded::StoredBytes { stored, more, most }) })
    }

    /// Counts one request of the caller.
    pub async fn count_request(
        self,
        database: &Database,
        caller: &Caller,
    ) -> Result<Result<(), TooManyRequests>, DatabaseError> {
        let (Some(per_minute), Some(key)) = (self.of(caller).requests_per_minute, caller.key_id) else {
            return Ok(Ok(()));
        };
        let (most, per_second) = (per_minute as f64, per_minute as f64 / 60.0);
        let allowance = request_allowance::take(database.pool(), &key.to_string(), most, per_second).await?;
        let Allowance { granted, tokens } = allowance;
        if granted {
            return Ok(Ok(()));
        }
        let wait = Duration::from_secs_f64(((1.0 - tokens) / per_second).max(0.0));
        Ok(Err(TooManyRequests { per_minute, wait }))
    }
}
