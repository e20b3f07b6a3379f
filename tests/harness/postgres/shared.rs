//! The PostgreSQL that all tests share, as one of them sees it.
//!
//! Tests are processes with one runner and threads with another, and any of them may be killed, so no test can own the server.
//! A process of its own does, the [`keeper`], which the first test that needs it starts. Every test process holds a lock in the [`Lobby`] as
//! long as it lives; when nobody has held it for a while, the keeper stops the server, removes its folder and ends.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use secateur_postgres::PrivatePostgres;
use sqlx::postgres::PgConnectOptions;

use super::keeper;
use super::lobby::Lobby;
use crate::harness::PATIENCE;

/// How long the keeper waits for the next test. A runner leaves gaps while it starts another process.
const GRACE: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A claim on the shared server; it runs at least until this is dropped.
#[derive(Debug)]
pub(super) struct SharedPostgres {
    lobby: Lobby,
    options: PgConnectOptions,
    _user: File,
}

impl SharedPostgres {
    /// The server of this run, which this process holds until it ends. It blocks while the server starts.
    ///
    /// # Panics
    /// When no server can be started.
    pub(super) fn of_this_run() -> &'static Self {
        static SHARED: OnceLock<SharedPostgres> = OnceLock::new();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
        SHARED.get_or_init(|| Self::join(&Lobby::in_folder(&folder), GRACE))
    }

    /// Joins those who use the server of a lobby, and starts it when it does not run.
    fn join(lobby: &Lobby, grace: Duration) -> Self {
        let door = lobby.door();
        door.lock().unwrap();
        let user = lobby.users();
        user.lock_shared().unwrap();
        wait_for_keeper(lobby);
        // There is none, or it ended before it was ready; nobody else is at the door who could start one.
        if let Some(lock) = lobby.keeper() {
            remove_what_was_left(lobby);
            lobby.make_folder();
            start_keeper(lobby, lock, grace);
        }
        let folder = lobby.folder().expect("the keeper has a folder");
        let options = PrivatePostgres::options_of_running(&folder.data()).expect("the keeper's server runs");
        Self { lobby: lobby.clone(), options, _user: user }
    }

    /// How to connect to one of its databases.
    pub(super) fn options_for(&self, database: &str) -> PgConnectOptions {
        self.options.clone().database(database)
    }

    /// A lock between all who use the server, which goes with the file. It blocks.
    pub(super) fn lock(&self) -> File {
        let door = self.lobby.door();
        door.lock().unwrap();
        door
    }
}

fn is_ready(lobby: &Lobby) -> bool {
    lobby.folder().is_some_and(|folder| folder.ready().exists())
}

/// Returns when a keeper is ready, or when there is none. Whoever started one may have been killed before it was ready.
fn wait_for_keeper(lobby: &Lobby) {
    wait_until("the keeper of the shared PostgreSQL is ready", lobby, || is_ready(lobby) || lobby.keeper().is_some());
}

fn start_keeper(lobby: &Lobby, lock: File, grace: Duration) {
    let entrance = concat!(module_path!(), "::tests::the_server_ends_after_its_last_user");
    let (_, entrance) = entrance.split_once("::").expect("the path begins with the crate");
    let mut keeper = keeper::start(lobby, lock, grace, entrance);
    wait_until("the shared PostgreSQL starts", lobby, || {
        let ended = keeper.try_wait().unwrap();
        assert!(ended.is_none(), "the keeper of the shared PostgreSQL ended: {}", log(lobby));
        is_ready(lobby)
    });
}

/// By a keeper that was killed. The kernel has told its server to stop, and that may still be about to.
fn remove_what_was_left(lobby: &Lobby) {
    let Some(folder) = lobby.folder() else { return };
    wait_until("what a killed keeper left is removed", lobby, || {
        folder.remove();
        !folder.path().exists()
    });
}

fn wait_until(what: &str, lobby: &Lobby, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {} seconds: {}", PATIENCE.as_secs(), log(lobby));
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn log(lobby: &Lobby) -> String {
    std::fs::read_to_string(lobby.log()).unwrap_or_default()
}

mod tests {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    use sqlx::Connection;
    use sqlx::postgres::PgConnection;

    use super::super::lobby::KeeperFolder;
    use super::*;
    use crate::harness::eventually;

    async fn join(lobby: &Lobby) -> SharedPostgres {
        let lobby = lobby.clone();
        let joining = move || SharedPostgres::join(&lobby, Duration::ZERO);
        let joined = tokio::task::spawn_blocking(joining).await.expect("there is a server");
        assert!(answers(&joined).await);
        joined
    }

    async fn answers(postgres: &SharedPostgres) -> bool {
        PgConnection::connect_with(&postgres.options_for("postgres")).await.is_ok()
    }

    /// The process whose id is a file's first line.
    fn process_in(file: &Path) -> Pid {
        let text = std::fs::read_to_string(file).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
    }

    fn server_in(folder: &KeeperFolder) -> Pid {
        process_in(&folder.data().join("postgres/cluster/postmaster.pid"))
    }

    async fn is_gone(folder: &KeeperFolder) {
        eventually("the server's folder is gone", || async { (!folder.path().exists()).then_some(()) }).await;
    }

    /// It is the entrance of keepers too, see [`start_keeper`].
    #[test]
    fn the_server_ends_after_its_last_user() {
        if keeper::keep_if_told() {
            return;
        }
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let lobby = Lobby::in_folder(folder.path());
            let (first, second) = (join(&lobby).await, join(&lobby).await);
            let folder = lobby.folder().unwrap();
            let server = server_in(&folder);
            drop(first);
            assert!(answers(&second).await);
            drop(second);
            is_gone(&folder).await;
            assert!(test_kill_process(server).is_err(), "process {server:?} has ended");
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_keeper_takes_the_place_of_one_that_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let lobby = Lobby::in_folder(folder.path());
        let before = join(&lobby).await;
        let killed = lobby.folder().unwrap();
        let server = server_in(&killed);
        kill_process(process_in(&killed.ready()), Signal::KILL).unwrap();
        eventually("the lock goes with the keeper", || async { lobby.keeper() }).await;
        let after = join(&lobby).await;
        assert!(!killed.path().exists());
        eventually("the killed one's server ends", || async { test_kill_process(server).err() }).await;
        let folder = lobby.folder().unwrap();
        assert_ne!(folder, killed);
        drop((before, after));
        is_gone(&folder).await;
    }
}
