//! `judgement`: the scores that a job's judge gave its finalists.

use secateur_core::recovery::JudgeScore;
use sqlx::PgExecutor;

use crate::database::DatabaseError;
use crate::id::JobId;

/// Records a score in the place of an earlier one; `false` when it says the same.
pub async fn set(executor: impl PgExecutor<'_>, job: JobId, score: JudgeScore) -> Result<bool, DatabaseError> {
    let written = sqlx::query!(
        "insert into judgement (job_id, candidate, score) values ($1, $2, $3)
         on conflict (job_id, candidate) do update set score = excluded.score, at = clock_timestamp()
         where judgement.score <> excluded.score",
        job.uuid(),
        score.candidate as i32,
        score.score
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// The scores of a job, by candidate.
pub async fn list(executor: impl PgExecutor<'_>, job: JobId) -> Result<Vec<JudgeScore>, DatabaseError> {
    let rows = sqlx::query!("select candidate, score from judgement where job_id = $1 order by candidate", job.uuid())
        .fetch_all(executor)
        .await?;
    Ok(rows.into_iter().map(|row| JudgeScore { candidate: row.candidate as usize, score: row.score }).collect())
}
