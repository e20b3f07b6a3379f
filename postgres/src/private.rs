//! The private server as a whole: started, reached, stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::client::ServerPrograms;
use crate::cluster::{self, Cluster};
use crate::error::PostgresError;
use crate::orphans;
use crate::settings::Settings;
use crate::socket::{SocketFolder, options_at};
use crate::supervisor::Supervisor;

const DATABASE: &str = "secateur";
/// Recovery after a crash replays the log, which can take a while.
const TIME_TO_START: Duration = Duration::from_mins(2);

/// One attempt to connect, of many.
const TIME_TO_ANSWER: Duration = Duration::from_secs(10);
/// Processes of an earlier server that are dying take less.
const TIME_FOR_OTHERS: Duration = Duration::from_secs(20);

/// A running private server.
#[derive(Debug)]
pub struct PrivatePostgres {
    supervisor: Supervisor,
    socket_folder: SocketFolder,
}

impl PrivatePostgres {
    /// Starts the cluster of a data folder, making it first when it is not there. The caller holds the folder's lock.
    ///
    /// # Errors
    /// When no PostgreSQL that can run the cluster is found, when one that runs there already does not stop, and when the
    /// server does not answer within two minutes.
    pub async fn start(data_folder: &Path) -> Result<Self, PostgresError> {
        Self::start_with(data_folder, Settings::default()).await
    }

    /// Starts the cluster of a data folder with other settings than the default ones.
    ///
    /// # Errors
    /// As [`PrivatePostgres::start`], and when PostgreSQL refuses a setting.
    pub async fn start_with(data_folder: &Path, settings: Settings) -> Result<Self, PostgresError> {
        let data_folder = data_folder.to_owned();
        let started = tokio::task::spawn_blocking(move || Self::launch(&data_folder, settings));
        let postgres = started.await.expect("starting Postgres does not panic")?;
        postgres.wait_until_ready().await?;
        postgres.create_database().await?;
        Ok(postgres)
    }

    fn launch(data_folder: &Path, settings: Settings) -> Result<Self, PostgresError> {
        let account = Account::for_cluster_in(data_folder).map_err(PostgresError::io("data folder"))?;
        let place = cluster::place(data_folder, account)?;
        let cluster = Cluster::at(&place, account);
        let binaries = Binaries::find(account, cluster.version()?, cluster.folder())?;
        let socket_folder = SocketFolder::create(&place, account)?;
        orphans::stop(&cluster, socket_folder.path())?;
        cluster.create_unless_there(&binaries, settings)?;
        let supervisor = Supervisor::start(&binaries, &cluster, socket_folder.path(), settings)?;
        Ok(Self { supervisor, socket_folder })
    }

    /// How to connect to the server that another process runs in a data folder.
    ///
    /// # Errors
    /// When none runs there, or when it is only about to.
    pub fn options_of_running(data_folder: &Path) -> Result<PgConnectOptions, PostgresError> {
        let pid_file = data_folder.join("postgres/cluster/postmaster.pid");
        let what = || format!("the running database's {}", pid_file.display());
        let text = std::fs::read_to_string(&pid_file).map_err(PostgresError::io(what()))?;
        // PostgreSQL writes one thing a line: process, data folder, start, port, socket folder.
        let socket_folder = text.lines().nth(4).filter(|line| !line.is_empty());
        let starting = || PostgresError::NotStarted("it is about to; try again".to_owned());
        Ok(options_at(Path::new(socket_folder.ok_or_else(starting)?), DATABASE))
    }

    /// The PostgreSQL that would run the cluster of a data folder, found as [`PrivatePostgres::start`] finds it; nothing is started or made.
    ///
    /// # Errors
    /// When none is found that can run the cluster.
    pub fn programs_for(data_folder: &Path) -> Result<ServerPrograms, PostgresError> {
        let account = match data_folder.exists() {
            true => Account::for_cluster_in(data_folder).map_err(PostgresError::io("data folder"))?,
            false => None,
        };
        let cluster = Cluster::at(&data_folder.join("postgres"), account);
        let binaries = Binaries::find(account, cluster.version()?, cluster.folder())?;
        Ok(ServerPrograms::in_folder(binaries.folder(), binaries.version()))
    }

    /// How to connect to its database, `secateur`.
    pub fn options(&self) -> PgConnectOptions {
        self.options_for(DATABASE)
    }

    fn options_for(&self, database: &str) -> PgConnectOptions {
        options_at(self.socket_folder.path(), database)
    }

    /// Stops the server the clean way; connections are cut.
    pub async fn stop(self) {
        let Self { supervisor, socket_folder } = self;
        let stopped = tokio::task::spawn_blocking(move || supervisor.stop());
        stopped.await.expect("stopping Postgres does not panic");
        drop(socket_folder);
    }

    async fn wait_until_ready(&self) -> Result<(), PostgresError> {
        let started = Instant::now();
        loop {
            let options = self.options_for("postgres");
            let connecting = tokio::time::timeout(TIME_TO_ANSWER, PgConnection::connect_with(&options));
            match connecting.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())) {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(_) if self.supervisor.has_exited() && !self.waits_for_others(started.elapsed()) => {
                    return Err(PostgresError::NotStarted(self.supervisor.log_tail()));
                }
                Err(error) if started.elapsed() > TIME_TO_START => {
                    return Err(PostgresError::NotStarted(format!("{error}; {}", self.supervisor.log_tail())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Whether the server ended because what an earlier one left was about to end too; the supervisor starts it again.
    fn waits_for_others(&self, elapsed: Duration) -> bool {
        let said = self.supervisor.last_refusal();
        elapsed < TIME_FOR_OTHERS && ["lock file", "shared memory block"].iter().any(|held| said.contains(held))
    }

    async fn create_database(&self) -> Result<(), PostgresError> {
        let failed = |error: sqlx::Error| PostgresError::NotStarted(error.to_string());
        let mut connection = PgConnection::connect_with(&self.options_for("postgres")).await.map_err(failed)?;
        let there = sqlx::query("select 1 from pg_database where datname = $1")
            .bind(DATABASE)
            .fetch_optional(&mut connection)
            .await
            .map_err(failed)?;
        if there.is_none() {
            sqlx::query("create database secateur").execute(&mut connection).await.map_err(failed)?;
        }
        let _ = connection.close().await;
        Ok(())
    }
}
