//! `measurement`: what was measured of a model on a data set, by a fingerprint of all that the value depends on.
//! A model belongs to one tenant, so what one tenant has measured no other one knows.

use secateur_core::stage::Kept;
use sqlx::PgExecutor;

use crate::database::DatabaseError;
use crate::id::{DatasetId, ModelId};

/// Keeps measurements, each of which took so many seconds; what is there already stays. They go in by name, so that two jobs that bring the same at once wait
/// for each other and never both.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    fingerprint: &str,
    model: ModelId,
    dataset: DatasetId,
    measurements: Vec<Kept>,
    seconds_each: f64,
) -> Result<(), DatabaseError> {
    let (names, values): (Vec<_>, Vec<_>) = measurements.into_iter().map(|Kept { name, value }| (name, value)).unzip();
    sqlx::query!(
        "insert into measurement (fingerprint, model_id, dataset_id, name, value, seconds)
         select $1, $2, $3, brought.name, brought.value, $6
         from unnest($4::text[], $5::jsonb[]) as brought (name, value) order by brought.name
         on conflict (model_id, fingerprint, name) do nothing",
        fingerprint,
        model.uuid(),
        dataset.uuid(),
        &names,
        &values,
        seconds_each
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Those of some names that are kept of a model, and the seconds that went into them.
pub async fn find(
    executor: impl PgExecutor<'_>,
    fingerprint: &str,
    model: ModelId,
    names: &[String],
) -> Result<(Vec<Kept>, f64), DatabaseError> {
    let rows = sqlx::query!(
        "select name, value, seconds from measurement where model_id = $1 and fingerprint = $2 and name = any($3)",
        model.uuid(),
        fingerprint,
        names
    )
    .fetch_all(executor)
    .await?;
    let seconds = rows.iter().map(|row| row.seconds).sum();
    Ok((rows.into_iter().map(|row| Kept { name: row.name, value: row.value }).collect(), seconds))
}

/// Forgets what was measured of a model.
pub async fn delete_of_model(executor: impl PgExecutor<'_>, model: ModelId) -> Result<(), DatabaseError> {
    sqlx::query!("delete from measurement where model_id = $1", model.uuid()).execute(executor).await?;
    Ok(())
}

/// Forgets what was measured on a data set.
pub async fn delete_of_dataset(executor: impl PgExecutor<'_>, dataset: DatasetId) -> Result<(), DatabaseError> {
    sqlx::query!("delete from measurement where dataset_id = $1", dataset.uuid()).execute(executor).await?;
    Ok(())
}
