//! Keys of blobs. Uploads are named by tenant and content, outputs by the attempt that wrote them.

use std::fmt;

use secateur_core::stage::Stage;

use crate::access::Tenant;
use crate::digest::Sha256;
use crate::id::JobId;

/// The name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    pub fn model(tenant: &Tenant, sha256: Sha256) -> Self {
        Self(format!("models/{tenant}/{sha256}"))
    }

    pub fn dataset(tenant: &Tenant, sha256: Sha256) -> Self {
        Self(format!("datasets/{tenant}/{sha256}"))
    }

    /// An output; the attempt is part of the key, so a stale one never overwrites what counts.
    pub fn output(job: JobId, stage: Stage, index: usize, attempt: i32, name: &str) -> Self {
        Self(format!("jobs/{job}/{}/{index}/{attempt}/{name}", stage.as_str()))
    }

    /// A checkpoint, the `count`-th of its attempt; never overwritten, so that a row's key always means the same bytes.
    pub fn checkpoint(job: JobId, stage: Stage, index: usize, attempt: i32, count: u32) -> Self {
        Self(format!("jobs/{job}/{}/{index}/{attempt}/checkpoint-{count}", stage.as_str()))
    }

    /// A key that a row holds.
    pub fn from_row(key: String) -> Self {
        Self(key)
    }

    /// A key to try whether the store can be written.
    pub(super) fn probe() -> Self {
        Self(format!("probe/{}", uuid::Uuid::now_v7().simple()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_path(&self) -> object_store::path::Path {
        object_store::path::Path::from(self.0.as_str())
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
