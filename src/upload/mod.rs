//! Uploads: what arrived becomes a model or a data set, once it has passed its checks.
//!
//! The checks run on the staged file, beside the async threads, and read no more of it than they must. Content that
//! the tenant has already is not stored or checked again; what other tenants have makes no difference. The blob is written before the row, so a crash between them leaves
//! bytes that the next upload of the same content takes over.

mod fit;

use secateur_core::archive;
use secateur_core::dataset::Dataset as DatasetFile;
use secateur_core::rejection::Rejection;

use crate::access::Tenant;
use crate::blob::{BlobError, BlobKey, BlobStore, Staged};
use crate::database::{Database, DatabaseError};
use crate::table::dataset::{self, Dataset};
use crate::table::model::{self, Model};

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the check of the upload panicked: {0}")]
    Panicked(String),
}

pub use fit::check_fit;

/// Accepts uploads; clones share what is behind it.
#[derive(Debug, Clone)]
pub struct Uploads {
    pub database: Database,
    pub blobs: BlobStore,
}

impl Uploads {
    pub async fn accept_model(
        &self,
        tenant: &Tenant,
        staged: Staged,
        name: Option<&str>,
    ) -> Result<Model, UploadError> {
        let sha256 = staged.sha256;
        if let Some(model) = model::find_by_sha256(self.database.pool(), tenant, sha256).await? {
            return Ok(model);
        }
        let (staged, _) = check(staged, |staged| archive::preflight(&staged.path)).await?;
        let blob = BlobKey::model(tenant, sha256);
        self.blobs.put_file(&blob, &staged.path).await?;
        model::insert(self.database.pool(), tenant, name, sha256, staged.bytes, &blob).await?;
        let model = model::find_by_sha256(self.database.pool(), tenant, sha256).await?;
        Ok(model.ok_or_else(|| DatabaseError::unreadable("model", "the row just written is gone"))?)
    }

    pub async fn accept_dataset(
        &self,
        tenant: &Tenant,
        staged: Staged,
        name: Option<&str>,
    ) -> Result<Dataset, UploadError> {
        let sha256 = staged.sha256;
        if let Some(dataset) = dataset::find_by_sha256(self.database.pool(), tenant, sha256).await? {
            return Ok(dataset);
        }
        let (staged, summary) = check(staged, |staged| Ok(DatasetFile::open(&staged.path)?.summary().clone())).await?;
        let blob = BlobKey::dataset(tenant, sha256);
        self.blobs.put_file(&blob, &staged.path).await?;
        dataset::insert(self.database.pool(), tenant, name, sha256, staged.bytes, &blob, &summary).await?;
        let dataset = dataset::find_by_sha256(self.database.pool(), tenant, sha256).await?;
        Ok(dataset.ok_or_else(|| DatabaseError::unreadable("dataset", "the row just written is gone"))?)
    }
}

/// Runs a check of a staged file where it disturbs nobody. The file lives as long as the check.
async fn check<T: Send + 'static>(
    staged: Staged,
    check: impl FnOnce(&Staged) -> Result<T, Rejection> + Send + 'static,
) -> Result<(Staged, T), UploadError> {
    let checked = tokio::task::spawn_blocking(move || check(&staged).map(|learnt| (staged, learnt))).await;
    match checked {
        Ok(checked) => Ok(checked?),
        Err(panic) => Err(UploadError::Panicked(panic.to_string())),
    }
}
