//! Uploads: what arrived becomes a model or a data set, once it has passed its checks.
//!
//! The checks run on the staged file, beside the async threads, and read no more of it than they must. Content that
//! the tenant has already is not stored or checked again; what other tenants have makes no difference. The blob is written before the row
//! and is written down as loose until then ([`crate::upkeep`]), so a crash between them leaves bytes that are freed later.

mod delete;
mod fit;
pub mod presigned;
pub mod resumable;

use std::time::Duration;

use secateur_core::archive;
use secateur_core::dataset::summarise;
use secateur_core::rejection::Rejection;

use crate::access::Caller;
use crate::blob::{BlobError, BlobKey, BlobStore, Staged};
use crate::database::{Database, DatabaseError};
use crate::id::{DatasetId, ModelId};
use crate::quota::{QuotaExceeded, Quotas};
use crate::table::dataset::{self, Dataset};
use crate::table::model::{self, Model};
use crate::table::{NewUpload, loose_blob};

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    #[error("the check of the upload panicked: {0}")]
    Panicked(String),
}

pub use delete::UploadDeletion;
pub use fit::check_fit;

/// A blob that was stored and has no row after this is one of an upload that failed.
const TIME_TO_RECORD: Duration = Duration::from_hours(24);

/// Accepts uploads; clones share what is behind it.
#[derive(Debug, Clone)]
pub struct Uploads {
    pub database: Database,
    pub blobs: BlobStore,
    pub quotas: Quotas,
}

impl Uploads {
    pub async fn accept_model(
        &self,
        caller: &Caller,
        staged: Staged,
        name: Option<&str>,
    ) -> Result<Model, UploadError> {
        let sha256 = staged.sha256;
        let tenant = &caller.tenant;
        if let Some(model) = model::find_by_sha256(self.database.pool(), tenant, sha256).await? {
            model::set_uploaded(self.database.pool(), model.id).await?;
            return Ok(model);
        }
        let (staged, _) = check(staged, |staged| archive::preflight(&staged.path)).await?;
        let id = ModelId::generate();
        let blob = BlobKey::model(tenant, id);
        self.store(&blob, &staged).await?;
        let mut transaction = self.database.begin().await?;
        self.quotas.check_bytes(&mut transaction, caller, staged.bytes).await??;
        let new = NewUpload { id, tenant, name, sha256, bytes: staged.bytes, blob: &blob };
        if model::insert(&mut *transaction, &new).await? {
            loose_blob::remove(&mut *transaction, &blob).await?;
        }
        transaction.commit().await.map_err(DatabaseError::from)?;
        let model = model::find_by_sha256(self.database.pool(), tenant, sha256).await?;
        Ok(model.ok_or_else(|| DatabaseError::Collision("it was deleted as it was uploaded".to_owned()))?)
    }

    pub async fn accept_dataset(
        &self,
        caller: &Caller,
        staged: Staged,
        name: Option<&str>,
    ) -> Result<Dataset, UploadError> {
        let sha256 = staged.sha256;
        let tenant = &caller.tenant;
        if let Some(dataset) = dataset::find_by_sha256(self.database.pool(), tenant, sha256).await? {
            dataset::set_uploaded(self.database.pool(), dataset.id).await?;
            return Ok(dataset);
        }
        let (staged, summary) = check(staged, |staged| summarise(&staged.path)).await?;
        let id = DatasetId::generate();
        let blob = BlobKey::dataset(tenant, id);
        self.store(&blob, &staged).await?;
        let mut transaction = self.database.begin().await?;
        self.quotas.check_bytes(&mut transaction, caller, staged.bytes).await??;
        let new = NewUpload { id, tenant, name, sha256, bytes: staged.bytes, blob: &blob };
        if dataset::insert(&mut *transaction, &new, &summary).await? {
            loose_blob::remove(&mut *transaction, &blob).await?;
        }
        transaction.commit().await.map_err(DatabaseError::from)?;
        let dataset = dataset::find_by_sha256(self.database.pool(), tenant, sha256).await?;
        Ok(dataset.ok_or_else(|| DatabaseError::Collision("it was deleted as it was uploaded".to_owned()))?)
    }

    /// Stores a staged file under a key that no row holds yet.
    async fn store(&self, blob: &BlobKey, staged: &Staged) -> Result<(), UploadError> {
        loose_blob::insert(self.database.pool(), blob, TIME_TO_RECORD).await?;
        Ok(self.blobs.put_file(blob, &staged.path).await?)
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
