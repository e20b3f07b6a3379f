//! `blob_reference`: a view of all blobs to which rows of any table refer, for backups.

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
        r#"select blob as "blob!", bool_and(may_be_missing) as "may_be_missing!"
           from blob_reference group by blob order by blob"#
    )
    .fetch_all(executor)
    .await?;
    let reference = |blob, may_be_missing| BlobReference { blob: BlobKey::from_row(blob), may_be_missing };
    Ok(rows.into_iter().map(|row| reference(row.blob, row.may_be_missing)).collect())
}
