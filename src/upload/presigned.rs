//! Presigned uploads: files that a client puts into the bucket itself, so that their bytes take the way to the API's host only once, when they
//! are checked.
//!
//! Nothing but the database's list of loose blobs knows of one: what is never used is freed with everything else that no row refers to.

use std::time::Duration;

use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{UploadError, Uploads};
use crate::access::Tenant;
use crate::blob::{BlobError, BlobKey, Staged, Staging, StagingError};
use crate::id::UploadId;
use crate::table::loose_blob;

/// How long a URL may be used.
pub const VALID: Duration = Duration::from_hours(1);

/// How long what was put there waits to be used.
pub const KEPT: Duration = Duration::from_hours(24);

/// URLs of one tenant that still work, or of which the file was not used yet.
pub const MOST_OPEN: i64 = 256;

/// Bytes that S3 takes in one request.
const LARGEST_PUT: u64 = 5 << 30;

/// A place in the bucket for one file.
#[derive(Debug, Clone)]
pub struct Presigned {
    pub id: UploadId,
    /// Whoever has it may put a file there.
    pub url: String,
    pub expires_at: OffsetDateTime,
    pub max_bytes: u64,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PresignError {
    #[error("blobs are kept in a folder, not in a bucket")]
    NoBucket,
    #[error("{0} presigned uploads are open")]
    TooMany(i64),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Uploads {
    /// A place in the bucket for one file of a tenant.
    pub async fn presign(&self, tenant: &Tenant, staging: &Staging) -> Result<Presigned, PresignError> {
        let open = loose_blob::count_incoming(self.database.pool(), tenant).await.map_err(UploadError::from)?;
        if open >= MOST_OPEN {
            return Err(PresignError::TooMany(open));
        }
        let id = UploadId::generate();
        let key = BlobKey::incoming(tenant, id);
        let expires_at = OffsetDateTime::now_utc() + VALID;
        let url = self.blobs.presign_put(&key, VALID).await.map_err(UploadError::from)?;
        let url = url.ok_or(PresignError::NoBucket)?;
        loose_blob::insert(self.database.pool(), &key, KEPT).await.map_err(UploadError::from)?;
        Ok(Presigned { id, url, expires_at, max_bytes: staging.max_bytes().min(LARGEST_PUT) })
    }

    /// What was put into the bucket, as an upload that has just arrived; `None` when nothing was, or it was used already.
    pub async fn fetch_presigned(
        &self,
        tenant: &Tenant,
        id: UploadId,
        staging: &Staging,
    ) -> Result<Option<Staged>, StagingError<BlobError>> {
        let key = BlobKey::incoming(tenant, id);
        let Some(bytes) = self.blobs.size(&key).await.map_err(StagingError::Broken)? else { return Ok(None) };
        let pieces = self.blobs.read(&key, None).await.map_err(StagingError::Broken)?;
        staging.receive(Some(bytes), pieces.into_stream()).await.map(Some)
    }

    /// Frees what was put into the bucket, since it is used or of no use. Its URL may work still, so what comes there later is freed when
    /// it does not.
    pub async fn forget_presigned(&self, tenant: &Tenant, id: UploadId) -> Result<(), UploadError> {
        let key = BlobKey::incoming(tenant, id);
        loose_blob::insert(self.database.pool(), &key, VALID).await?;
        Ok(self.blobs.delete(std::slice::from_ref(&key)).await?)
    }
}
