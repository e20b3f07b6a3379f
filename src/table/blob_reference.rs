//! Blobs to which rows of any table refer: for backups.

use sqlx::PgExecutor;

use crate::blob::BlobKey;
use crate::database::DatabaseError;

/// A blob to which a row refers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobReference {
    pub blob: BlobKey,
    /// A checkpoint, without which its task starts over.
    pub may_be_missing: bool,
}

/// All of them, each once.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<BlobReference>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select blob as "blob!", bool_and(is_checkpoint) as "is_checkpoint!"
           from (
               select blob, false as is_checkpoint from model where deleted_at is null
               union all select blob, false from dataset where deleted_at is null
               union all select blob, false from artifact
               union all select blob, false from prepared
               union all select checkpoint, true from task where checkpoint is not null
           ) reference
           group by blob order by blob"#
    )
    .fetch_all(executor)
    .await?;
    let reference = |blob, may_be_missing| BlobReference { blob: BlobKey::from_row(blob), may_be_missing };
    Ok(rows.into_iter().map(|row| reference(row.blob, row.is_checkpoint)).collect())
}
