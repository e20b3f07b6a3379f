//! A short visit to a server's database, whether or not the server runs.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secateur_postgres::PrivatePostgres;
use sqlx::postgres::PgConnectOptions;

use super::{Backend, DataFolder, StartError, connect};
use crate::database::Database;

const PATIENCE: Duration = Duration::from_secs(10);

/// An open database. End the visit with [`Visit::end`].
#[derive(Debug)]
pub struct Visit {
    backend: Backend,
    /// Keeps a server from starting on the same folder meanwhile.
    _folder: Option<DataFolder>,
}

impl Visit {
    /// The database that is named, or the private one of the data folder: through the socket of the server that has it, else
    /// started for the visit.
    pub async fn to(data_folder: &Path, database_url: Option<&str>) -> Result<Self, StartError> {
        if let Some(url) = database_url {
            let options =
                PgConnectOptions::from_str(url).map_err(|error| StartError::DatabaseUrl(error.to_string()))?;
            let database = Database::new(options, 1, PATIENCE);
            database.migrate().await?;
            return Ok(Self { backend: Backend { database, postgres: None }, _folder: None });
        }
        match DataFolder::open(data_folder) {
            Ok(folder) => {
                let backend = connect(&folder, None, 0, PATIENCE).await?;
                Ok(Self { backend, _folder: Some(folder) })
            }
            Err(StartError::DataFolderInUse(folder)) => {
                let database = Database::new(PrivatePostgres::options_of_running(&folder)?, 1, PATIENCE);
                // The server that runs has brought the schema to where it needs it.
                database.check().await?;
                Ok(Self { backend: Backend { database, postgres: None }, _folder: None })
            }
            Err(error) => Err(error),
        }
    }

    pub fn database(&self) -> &Database {
        &self.backend.database
    }

    pub async fn end(self) {
        self.backend.database.close().await;
        if let Some(postgres) = self.backend.postgres {
            postgres.stop().await;
        }
    }
}
