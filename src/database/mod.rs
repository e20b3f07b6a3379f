//! The connection to Postgres: pool, migrations, and what its errors mean to us.
//!
//! Everything above asks one question of a database error: is the database away (the API answers 503, a worker tries
//! again while its engine keeps running), did two transactions collide (try again at once), or is it our bug.
//! The database's clock is the only one that leases are measured with.

mod error;
mod notifications;
mod retry;

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub use error::DatabaseError;
pub use notifications::{
    JOB_CHANNEL, Notifications, STOP_CHANNEL, Subscription, TASK_CHANNEL, WEBHOOK_CHANNEL, Wakeup,
};
pub use retry::retry_while_away;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// A machine that dies inside a transaction must not hold a job's row until TCP gives up on it.
const LIMITS: [(&str, &str); 2] = [("idle_in_transaction_session_timeout", "30s"), ("statement_timeout", "60s")];

pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// A pool of connections; clones share it.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
}

impl Database {
    /// A pool that connects when it is first used; nobody waits longer than `patience` for a connection.
    pub fn new(options: PgConnectOptions, connections: u32, patience: Duration) -> Self {
        let options = options.application_name("secateur").options(LIMITS);
        let pool =
            PgPoolOptions::new().max_connections(connections).acquire_timeout(patience).connect_lazy_with(options);
        Self { pool }
    }

    /// Brings the schema up to date; safe to run from several processes at once.
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        MIGRATIONS.run(&self.pool).await.map_err(DatabaseError::from)
    }

    /// Whether the database answers and has every migration that this program knows.
    pub async fn check(&self) -> Result<(), DatabaseError> {
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        let applied: Option<i64> =
            sqlx::query_scalar("select max(version) from _sqlx_migrations where success").fetch_one(&self.pool).await?;
        if applied.unwrap_or(0) < newest {
            return Err(DatabaseError::NotMigrated { applied: applied.unwrap_or(0), newest });
        }
        Ok(())
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub async fn begin(&self) -> Result<Transaction, DatabaseError> {
        Ok(self.pool.begin().await?)
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}
