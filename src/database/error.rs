//! What a database error means to the caller.

use sqlx::migrate::MigrateError;

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Not reachable, shutting down or starting up; later it may work.
    #[error("the database is not available: {0}")]
    Away(String),
    /// Two transactions collided; the same again will work.
    #[error("the transaction collided with another: {0}")]
    Collision(String),
    #[error("the schema is at migration {applied}, this program needs {newest}: run `secateur migrate`")]
    NotMigrated { applied: i64, newest: i64 },
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migration(MigrateError),
    /// A row does not hold what this program wrote.
    #[error("row of {table} is not readable: {detail}")]
    Unreadable { table: &'static str, detail: String },
    /// Our bug.
    #[error("{0}")]
    Other(sqlx::Error),
}

impl DatabaseError {
    pub fn unreadable(table: &'static str, detail: impl ToString) -> Self {
        Self::Unreadable { table, detail: detail.to_string() }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Collision(_))
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error;
        match &error {
            Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => {
                Self::Away(error.to_string())
            }
            // A connection that breaks inside a message reads as a protocol error.
            Error::Protocol(_) => Self::Away(error.to_string()),
            Error::Database(database) => match database.code().as_deref() {
                Some("40001" | "40P01") => Self::Collision(error.to_string()),
                // Connection exceptions, shutdown, crash, start-up, too many connections, read-only after a failover.
                Some(code)
                    if code.starts_with("08") || code.starts_with("57P") || matches!(code, "53300" | "25006") =>
                {
                    Self::Away(error.to_string())
                }
                _ => Self::Other(error),
            },
            _ => Self::Other(error),
        }
    }
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => match Self::from(error) {
                Self::Other(error) => Self::Migration(MigrateError::Execute(error)),
                known => known,
            },
            other => Self::Migration(other),
        }
    }
}
