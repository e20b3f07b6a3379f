//! Keys of blobs. Uploads are named by tenant and id, outputs by the attempt that wrote them.

use std::fmt;

use secateur_core::stage::Stage;

use crate::access::Tenant;
use crate::id::{DatasetId, JobId, ModelId, TaskId, UploadId};

/// The name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// A model's; each upload has its own, so that freeing one that was deleted never meets one that has just come.
    pub fn model(tenant: &Tenant, id: ModelId) -> Self {
        Self(format!("models/{tenant}/{id}"))
    }

    pub fn dataset(tenant: &Tenant, id: DatasetId) -> Self {
        Self(format!("datasets/{tenant}/{id}"))
    }

    /// What a client puts into the bucket itself, until it is used.
    pub fn incoming(tenant: &Tenant, id: UploadId) -> Self {
        Self(format!("{}{id}", Self::incoming_of(tenant)))
    }

    /// What the keys of all that a tenant's clients put into the bucket begin with.
    pub fn incoming_of(tenant: &Tenant) -> String {
        format!("incoming/{tenant}/")
    }

    /// What a task has prepared of a data set, for its job and later ones; each attempt at it has its own.
    pub fn prepared(dataset: DatasetId, task: TaskId, attempt: i32) -> Self {
        Self(format!("prepared/{dataset}/{task}-{attempt}"))
    }

    /// An output; the attempt is part of the key, so a stale one never overwrites what counts.
    pub fn output(job: JobId, stage: Stage, index: usize, attempt: i32, name: &str) -> Self {
        Self(format!("jobs/{job}/{}/{index}/{attempt}/{name}", stage.as_str()))
    }

    /// A checkpoint, the `count`-th of its attempt; never overwritten, so that a row's key always means the same bytes.
    pub fn checkpoint(job: JobId, stage: Stage, index: usize, attempt: i32, count: u32) -> Self {
        Self(format!("jobs/{job}/{}/{index}/{attempt}/checkpoint-{count}", stage.as_str()))
    }

    /// Everything that a job's tasks have stored, also attempts that did not count.
    pub fn everything_of(job: JobId) -> Self {
        Self(format!("jobs/{job}/"))
    }

    /// Whether it stands for everything below it.
    pub(super) fn is_folder(&self) -> bool {
        self.0.ends_with('/')
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
