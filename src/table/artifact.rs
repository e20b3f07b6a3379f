//! `artifact`: the outputs of finished tasks. A blob without a row here does not exist for anyone.

use secateur_core::stage::Stage;
use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::id::JobId;

/// A row.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub stage: Stage,
    pub index: usize,
    /// The engine's name for the file.
    pub name: String,
    pub blob: BlobKey,
    pub sha256: Sha256,
    pub bytes: u64,
    pub created_at: OffsetDateTime,
}

/// An output that was uploaded and is to be recorded.
#[derive(Debug, Clone)]
pub struct Output {
    pub name: String,
    pub blob: BlobKey,
    pub sha256: Sha256,
    pub bytes: u64,
}

pub async fn insert(
    executor: impl PgExecutor<'_>,
    job: JobId,
    stage: Stage,
    index: usize,
    output: &Output,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "insert into artifact (job_id, stage, index, name, blob, sha256, bytes) values ($1, $2, $3, $4, $5, $6, $7)",
        job.uuid(),
        stage.as_str(),
        index as i32,
        output.name,
        output.blob.as_str(),
        output.sha256.to_string(),
        output.bytes as i64
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Every output of a job, in the order in which they were recorded.
pub async fn list(executor: impl PgExecutor<'_>, job: JobId) -> Result<Vec<Artifact>, DatabaseError> {
    let rows = sqlx::query!(
        "select stage, index, name, blob, sha256, bytes, created_at from artifact where job_id = $1
         order by created_at, index, name",
        job.uuid()
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let unreadable = |detail| DatabaseError::unreadable("artifact", detail);
            Ok(Artifact {
                stage: Stage::parse(&row.stage).ok_or_else(|| unreadable(format!("stage {}", row.stage)))?,
                index: row.index as usize,
                name: row.name,
                blob: BlobKey::from_row(row.blob),
                sha256: row.sha256.try_into().map_err(unreadable)?,
                bytes: row.bytes as u64,
                created_at: row.created_at,
            })
        })
        .collect()
}
