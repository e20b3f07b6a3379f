//! Real servers: each test has a data folder and a cluster of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use secateur_postgres::{PostgresError, PrivatePostgres, Settings};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

/// Nothing that a test waits for takes longer, on a slow machine either.
const PATIENCE: Duration = Duration::from_mins(1);

/// No power is lost here.
const SETTINGS: Settings = Settings { durable: false, max_connections: None };

/// A data folder that another user can pass through, as the server's is.
fn data_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("secateur-postgres-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
}

fn pid_file(data_folder: &Path) -> PathBuf {
    data_folder.join("postgres/cluster/postmaster.pid")
}

fn postmaster(data_folder: &Path) -> Pid {
    let text = std::fs::read_to_string(pid_file(data_folder)).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn what_is_written_is_there_after_a_stop_and_a_start() {
    let folder = data_folder();
    let postgres = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap();
    let mut connection = connect(&postgres.options()).await;
    connection.execute("create table pear (name text); insert into pear values ('conference')").await.unwrap();
    postgres.stop().await;
    assert!(!pid_file(folder.path()).exists(), "it ended the clean way");

    let postgres = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap();
    let mut connection = connect(&postgres.options()).await;
    let name: String = sqlx::query_scalar("select name from pear").fetch_one(&mut connection).await.unwrap();
    assert_eq!(name, "conference");
    postgres.stop().await;
}

#[tokio::test]
async fn it_is_durable_unless_it_is_told_otherwise_and_closed_to_the_network() {
    let folder = data_folder();
    let settings = Settings { durable: false, max_connections: Some(17) };
    let postgres = PrivatePostgres::start_with(folder.path(), settings).await.unwrap();
    let mut connection = connect(&postgres.options()).await;
    assert_eq!(setting(&mut connection, "fsync").await, "off");
    assert_eq!(setting(&mut connection, "max_connections").await, "17");
    postgres.stop().await;

    let postgres = PrivatePostgres::start(folder.path()).await.unwrap();
    let mut connection = connect(&postgres.options()).await;
    for (name, value) in
        [("fsync", "on"), ("max_connections", "100"), ("listen_addresses", ""), ("data_checksums", "on")]
    {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    postgres.stop().await;
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_started_again() {
    let folder = data_folder();
    let postgres = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap();
    let first = postmaster(folder.path());
    kill_process(first, Signal::QUIT).unwrap();
    let started = Instant::now();
    loop {
        if PgConnection::connect_with(&postgres.options()).await.is_ok() && postmaster(folder.path()) != first {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "no second server within {} seconds", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    postgres.stop().await;
}

#[tokio::test]
async fn a_server_that_is_dropped_has_ended() {
    let folder = data_folder();
    let postgres = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap();
    let pid = postmaster(folder.path());
    drop(postgres);
    assert!(test_kill_process(pid).is_err(), "process {pid:?} is gone");
}

#[tokio::test]
async fn another_process_finds_the_server_by_its_data_folder() {
    let folder = data_folder();
    let none = PrivatePostgres::options_of_running(folder.path()).unwrap_err();
    assert!(matches!(none, PostgresError::Io { .. }) && none.to_string().contains("postmaster.pid"), "{none}");
    let postgres = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap();
    let mut connection = connect(&PrivatePostgres::options_of_running(folder.path()).unwrap()).await;
    let database: String = sqlx::query_scalar("select current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(database, "secateur");
    postgres.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let folder = data_folder();
    let settings = Settings { max_connections: Some(0), ..SETTINGS };
    let refused = PrivatePostgres::start_with(folder.path(), settings).await.unwrap_err();
    assert!(matches!(refused, PostgresError::NotStarted(_)), "{refused}");
    assert!(refused.to_string().contains("max_connections"), "{refused}");
}
