//! A cluster that an earlier server left in any state, and a server that starts on it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use secateur_postgres::{PostgresError, PrivatePostgres, Settings};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

/// No power is lost here.
const SETTINGS: Settings = Settings { durable: false, max_connections: None };

/// A data folder that another user can pass through, with a cluster whose server was stopped the clean way.
async fn data_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("secateur-postgres-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap().stop().await;
    folder
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postgres/cluster/postmaster.pid")
}

fn socket(data: &Path) -> PathBuf {
    data.join("postgres/run/.s.PGSQL.5432")
}

fn socket_lock(data: &Path) -> PathBuf {
    data.join("postgres/run/.s.PGSQL.5432.lock")
}

/// A process of the user that PostgreSQL runs as: the only ones that PostgreSQL takes for the holder of a lock.
fn process_of_its_user(data: &Path) -> Child {
    let owner = std::fs::metadata(data.join("postgres/cluster")).unwrap().uid();
    let mut command = Command::new("sleep");
    if rustix::process::geteuid().is_root() {
        command.uid(owner);
    }
    command.arg("600").current_dir("/").spawn().unwrap()
}

/// Locks as a server leaves them that a power cut ended.
fn leave_locks(data: &Path, process: u32) {
    let cluster = data.join("postgres/cluster").canonicalize().unwrap();
    let run = data.join("postgres/run").canonicalize().unwrap();
    let lock = format!("{process}\n{}\n1700000000\n5432\n{}\n", cluster.display(), run.display());
    std::fs::write(pid_file(data), format!("{lock}\n  1234567         3\nready   \n")).unwrap();
    std::fs::write(socket_lock(data), lock).unwrap();
}

async fn starts_and_answers(data: &Path) {
    let postgres = PrivatePostgres::start_with(data, SETTINGS).await.unwrap();
    let mut connection = PgConnection::connect_with(&postgres.options()).await.unwrap();
    let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut connection).await.unwrap();
    assert_eq!(one, 1);
    postgres.stop().await;
}

#[tokio::test]
async fn locks_whose_number_belongs_to_another_process_by_now_keep_nobody_from_starting() {
    let folder = data_folder().await;
    let mut other = process_of_its_user(folder.path());
    leave_locks(folder.path(), other.id());
    starts_and_answers(folder.path()).await;
    let ended = other.try_wait().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(ended, None, "the other process is left alone");
}

#[tokio::test]
async fn locks_of_a_server_that_has_ended_and_that_nobody_waited_for_keep_nobody_from_starting() {
    let folder = data_folder().await;
    let mut zombie = process_of_its_user(folder.path());
    zombie.kill().unwrap();
    leave_locks(folder.path(), zombie.id());
    starts_and_answers(folder.path()).await;
    zombie.wait().unwrap();
}

#[tokio::test]
async fn a_lock_that_was_torn_keeps_nobody_from_starting() {
    let folder = data_folder().await;
    std::fs::write(pid_file(folder.path()), "").unwrap();
    std::fs::write(socket_lock(folder.path()), "").unwrap();
    starts_and_answers(folder.path()).await;
}

#[tokio::test]
async fn a_cluster_that_was_copied_while_its_server_ran_starts_beside_it() {
    let folder = data_folder().await;
    let original = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap();
    let copy = tempfile::Builder::new().prefix("secateur-postgres-").tempdir().unwrap();
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let copied = Command::new("cp").arg("-a").arg(folder.path().join("postgres")).arg(copy.path()).status().unwrap();
    assert!(copied.success() && pid_file(copy.path()).exists() && socket_lock(copy.path()).exists());
    starts_and_answers(copy.path()).await;
    let mut connection = PgConnection::connect_with(&original.options()).await.unwrap();
    connection.ping().await.unwrap();
    original.stop().await;
}

#[tokio::test]
async fn the_locks_of_a_server_that_answers_from_where_it_cannot_be_seen_are_not_touched() {
    let folder = data_folder().await;
    let mut other = process_of_its_user(folder.path());
    leave_locks(folder.path(), other.id());
    let _server_of_another_container = UnixListener::bind(socket(folder.path())).unwrap();
    let refused = PrivatePostgres::start_with(folder.path(), SETTINGS).await.unwrap_err();
    assert!(matches!(refused, PostgresError::Answers { .. }), "{refused}");
    let said = refused.to_string();
    assert!(said.contains(".s.PGSQL.5432") && said.contains(&other.id().to_string()), "{said}");
    assert!(refused.hint().unwrap().contains("stop that one"));
    assert!(pid_file(folder.path()).exists() && socket_lock(folder.path()).exists() && socket(folder.path()).exists());
    other.kill().unwrap();
    other.wait().unwrap();
}
