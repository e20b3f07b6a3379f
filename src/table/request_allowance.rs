//! `request_allowance`: how many requests a caller may still make.

use sqlx::PgExecutor;

use crate::database::DatabaseError;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    pub granted: bool,
    /// What is left; when it was not granted, less than one.
    pub tokens: f64,
}

/// Takes one request out of a caller's allowance, which holds `most` and refills by `per_second`, on the database's clock.
/// A request that is not granted takes nothing.
pub async fn take(
    executor: impl PgExecutor<'_>,
    caller: &str,
    most: f64,
    per_second: f64,
) -> Result<Allowance, DatabaseError> {
    let allowance = sqlx::query_as!(
        Allowance,
        "insert into request_allowance as known (caller, tokens, granted, at)
         values ($1, $2::float8 - 1, true, clock_timestamp())
         on conflict (caller) do update
         set (tokens, granted, at) = (
             select refilled - case when refilled >= 1 then 1 else 0 end, refilled >= 1, greatest(known.at, excluded.at)
             from (select least($2::float8, known.tokens + $3::float8
                                * greatest(0, extract(epoch from excluded.at - known.at)::float8)) as refilled) as now
         )
         returning granted, tokens",
        caller,
        most,
        per_second
    )
    .fetch_one(executor)
    .await?;
    Ok(allowance)
}
