//! The process that keeps the shared PostgreSQL: this test program, started once more for one test that is its entrance.
//!
//! The server's parent is the keeper, and it ends with its parent, however that ends. So the keeper need only end in time. It is in a process
//! group of its own: neither Ctrl-C nor a runner that kills a test's group takes it from the other tests.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use secateur_postgres::{PrivatePostgres, Settings};

use super::lobby::Lobby;
use super::template;

/// Set for a keeper, to its lobby.
const LOBBY: &str = "SECATEUR_TEST_POSTGRES_LOBBY";
const GRACE_MS: &str = "SECATEUR_TEST_POSTGRES_GRACE_MS";

/// Starts a keeper in the temporary folder that the lobby names, by a test that calls [`keep_if_told`]. The lock is its standard
/// input, so the keeper has it from the first moment.
pub(super) fn start(lobby: &Lobby, lock: File, grace: Duration, entrance: &str) -> Child {
    let log = File::create(lobby.log()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", entrance, "--nocapture"])
        .env(LOBBY, lobby.path())
        .env(GRACE_MS, grace.as_millis().to_string())
        .current_dir("/")
        .stdin(lock)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("the test program starts again")
}

/// Keeps, when this process is a keeper; it is over when this returns true.
pub(super) fn keep_if_told() -> bool {
    let Some(lobby) = std::env::var_os(LOBBY) else { return false };
    let grace = std::env::var(GRACE_MS).expect("a keeper is told how long it waits");
    keep(&Lobby::in_folder(Path::new(&lobby)), Duration::from_millis(grace.parse().unwrap()));
    true
}

/// Runs the server of a lobby until nobody has used it for a while.
fn keep(lobby: &Lobby, grace: Duration) {
    let (door, users) = (lobby.door(), lobby.users());
    let folder = lobby.folder().expect("whoever starts a keeper names its folder");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let postgres = runtime.block_on(run(&folder.data()));
    // Made and filled in one step for whoever looks for it.
    let partial = folder.path().join("ready.partial");
    std::fs::write(&partial, std::process::id().to_string()).unwrap();
    std::fs::rename(partial, folder.ready()).unwrap();
    wait_until_deserted(&door, &users, grace);
    runtime.block_on(postgres.stop());
    folder.remove();
}

async fn run(data: &Path) -> PrivatePostgres {
    template::copy_to(data).await;
    // A server under test has 20 connections at most, and a runner starts as many tests as there are processors.
    let processors = std::thread::available_parallelism().map_or(8, usize::from) as u32;
    let settings = Settings { durable: false, max_connections: Some(100 + 30 * processors) };
    PrivatePostgres::start_with(data, settings).await.expect("the shared PostgreSQL starts")
}

/// Returns with the door locked, when nobody is inside.
fn wait_until_deserted(door: &File, users: &File, grace: Duration) {
    loop {
        // The lock of all users at once is to be had when there is none.
        users.lock().unwrap();
        users.unlock().unwrap();
        std::thread::sleep(grace);
        door.lock().unwrap();
        if users.try_lock().is_ok() {
            return;
        }
        door.unlock().unwrap();
    }
}
