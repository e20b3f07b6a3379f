//! A private Postgres for those who bring none: one cluster in the data folder, over a unix socket, fsync on.
//!
//! The server belongs to this process. It ends with it: asked to when this program stops, by the kernel's parent-death
//! signal when this program is killed. When it ends by itself it is started again. A cluster that a killed program left
//! behind is taken over: whatever still runs in it is stopped first, which is safe because the caller holds the lock of
//! the data folder. PostgreSQL refuses to run as root, so for root it runs under another user id.

mod account;
mod binaries;
mod cluster;
mod supervisor;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use account::Account;
use binaries::Binaries;
use cluster::Cluster;
use supervisor::Supervisor;

const USER: &str = "secateur";
const DATABASE: &str = "secateur";
/// Recovery after a crash replays the log, which can take a while.
const TIME_TO_START: Duration = Duration::from_mins(2);

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("no PostgreSQL server was found ({looked_at})")]
    NotFound { looked_at: String },
    #[error("the cluster in {} is of PostgreSQL {wanted}, and only {found} was found", .folder.display())]
    OtherVersion { folder: PathBuf, wanted: u32, found: String },
    #[error("{program} failed: {output}")]
    Program { program: &'static str, output: String },
    #[error("PostgreSQL did not start: {0}")]
    NotStarted(String),
    #[error("another PostgreSQL runs in {} and does not stop", .0.display())]
    Occupied(PathBuf),
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
}

impl PostgresError {
    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some(
                "install one (`apt-get install postgresql`), run scripts/setup-postgres.sh, name its folder with \
                 SECATEUR_PG_BIN, or bring a database with DATABASE_URL",
            ),
            Self::OtherVersion { .. } => Some("name the folder of the old version's programs with SECATEUR_PG_BIN"),
            _ => None,
        }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// A running private server.
#[derive(Debug)]
pub struct PrivatePostgres {
    supervisor: Supervisor,
    socket_folder: SocketFolder,
}

impl PrivatePostgres {
    /// Starts the cluster of a data folder, making it first when it is not there. The caller holds the folder's lock.
    pub async fn start(data_folder: &Path) -> Result<Self, PostgresError> {
        let data_folder = data_folder.to_owned();
        let started = tokio::task::spawn_blocking(move || Self::launch(&data_folder));
        let postgres = started.await.expect("starting Postgres does not panic")?;
        postgres.wait_until_ready().await?;
        postgres.create_database().await?;
        Ok(postgres)
    }

    fn launch(data_folder: &Path) -> Result<Self, PostgresError> {
        let account = Account::for_cluster_in(data_folder).map_err(PostgresError::io("data folder"))?;
        let place = cluster::place(data_folder, account)?;
        let cluster = Cluster::at(&place, account);
        let binaries = Binaries::find(account, cluster.version()?, cluster.folder())?;
        cluster.stop_orphans()?;
        cluster.create_unless_there(&binaries)?;
        let socket_folder = SocketFolder::create(&place, account)?;
        let supervisor = Supervisor::start(&binaries, &cluster, socket_folder.path())?;
        Ok(Self { supervisor, socket_folder })
    }

    /// How to connect to the server that another process runs in a data folder.
    pub fn options_of_running(data_folder: &Path) -> Result<PgConnectOptions, PostgresError> {
        let pid_file = data_folder.join("postgres/cluster/postmaster.pid");
        let what = || format!("the running database's {}", pid_file.display());
        let text = std::fs::read_to_string(&pid_file).map_err(PostgresError::io(what()))?;
        // PostgreSQL writes one thing a line: process, data folder, start, port, socket folder.
        let socket_folder = text.lines().nth(4).filter(|line| !line.is_empty());
        let starting = || PostgresError::NotStarted("it is about to; try again".to_owned());
        Ok(options_at(Path::new(socket_folder.ok_or_else(starting)?), DATABASE))
    }

    /// How to connect.
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
            match PgConnection::connect_with(&self.options_for("postgres")).await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(_) if self.supervisor.has_exited() => {
                    return Err(PostgresError::NotStarted(self.supervisor.log_tail()));
                }
                Err(error) if started.elapsed() > TIME_TO_START => {
                    return Err(PostgresError::NotStarted(format!("{error}; {}", self.supervisor.log_tail())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
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

fn options_at(socket_folder: &Path, database: &str) -> PgConnectOptions {
    let host = socket_folder.to_string_lossy();
    PgConnectOptions::new_without_pgpass().host(&host).port(5432).username(USER).database(database)
}

/// A folder for the socket, short enough for the 107 bytes that a socket's path may have.
#[derive(Debug)]
enum SocketFolder {
    InCluster(PathBuf),
    Temporary(tempfile::TempDir),
}

const LONGEST_SOCKET_PATH: usize = 107;

impl SocketFolder {
    fn create(place: &Path, account: Option<Account>) -> Result<Self, PostgresError> {
        let folder = place.join("run");
        let socket = folder.join(".s.PGSQL.5432");
        let socket_folder = if socket.as_os_str().len() <= LONGEST_SOCKET_PATH {
            std::fs::create_dir_all(&folder).map_err(PostgresError::io("socket folder"))?;
            Self::InCluster(folder)
        } else {
            let temporary = tempfile::Builder::new().prefix("secateur-").tempdir();
            Self::Temporary(temporary.map_err(PostgresError::io("socket folder"))?)
        };
        account::hand_over(socket_folder.path(), account).map_err(PostgresError::io("socket folder"))?;
        Ok(socket_folder)
    }

    fn path(&self) -> &Path {
        match self {
            Self::InCluster(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}
