//! A server for one test, with everything below it real: a database, folder and port of its own.

mod away;
mod browser;
mod client;
mod contract;
mod devtools;
mod hand;
mod pictures;
mod postgres;
mod receiver;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secateur::access::Scope;
use secateur::access::key::{self, NewKey};
use secateur::id::KeyId;
use secateur::queue::Queue;
use secateur::server::{Server, ServerOptions};
use tempfile::TempDir;

pub(crate) use away::Away;
pub(crate) use browser::{Attacker, Chromium, EVIL, Relay};
pub(crate) use client::{Answer, Client, file_part, form, json_body, send};
pub(crate) use devtools::Tab;
pub(crate) use hand::{Hand, PREPARED_BYTES};
pub(crate) use pictures::{cifar_part, idx_part, pictures_part, undecodable};
pub(crate) use postgres::{TestDatabase, copy_cluster_to};
pub(crate) use receiver::{Received, Receiver, Reply};

/// Nothing that a test waits for takes longer, on a slow machine either.
const PATIENCE: Duration = Duration::from_mins(3);

/// A running server; dropping it stops it.
pub(crate) struct TestServer {
    server: Option<Server>,
    options: ServerOptions,
    folder: TempDir,
    /// None when the server has a Postgres of its own.
    database: Option<TestDatabase>,
}

impl TestServer {
    /// A server without worker slots, on a database of the shared Postgres.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let database = TestDatabase::create().await;
        Self::start_on(data_folder(), Some(database), change).await
    }

    /// A server that runs a Postgres of its own, for tests that hurt it or look for it in the data folder.
    pub(crate) async fn start_with_own_postgres(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let folder = data_folder();
        copy_cluster_to(&folder.path().join("data")).await;
        Self::start_on(folder, None, change).await
    }

    async fn start_on(
        folder: TempDir,
        database: Option<TestDatabase>,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        let mut options = ServerOptions::new(folder.path().join("data"));
        options.database_url = database.as_ref().map(TestDatabase::url);
        options.listen = ([127, 0, 0, 1], 0).into();
        options.slots = 0;
        options.reserve_bytes = 0;
        options.poll = Duration::from_millis(200);
        options.retry_pause = Duration::ZERO;
        options.database_patience = Duration::from_secs(2);
        change(&mut options);
        let server = Server::start(options.clone()).await.expect("the server starts");
        Self { server: Some(server), options, folder, database }
    }

    /// Another server on this one's database, with what `change` changes of this one's options.
    pub(crate) async fn start_beside(&self, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let folder = data_folder();
        let mut options = self.options.clone();
        options.data_folder = folder.path().join("data");
        change(&mut options);
        let server = Server::start(options.clone()).await.expect("the server starts");
        Self { server: Some(server), options, folder, database: None }
    }

    /// Stops the server the clean way and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.server = Some(Server::start(self.options.clone()).await.expect("the server starts again"));
    }

    /// With other options from then on.
    pub(crate) async fn restart_with(&mut self, change: impl FnOnce(&mut ServerOptions)) {
        change(&mut self.options);
        self.restart().await;
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(format!("http://{}", self.address()))
    }

    /// A client with a new key.
    pub(crate) async fn client_of(&self, tenant: &str, scope: Scope) -> Client {
        let (_, secret) = self.make_key(tenant, scope).await;
        self.client().with_key(&secret)
    }

    /// A new key: its id and its secret.
    pub(crate) async fn make_key(&self, tenant: &str, scope: Scope) -> (KeyId, String) {
        let (name, tenant) = ("test".parse().unwrap(), tenant.parse().unwrap());
        let new = NewKey { name, tenant, scope, lifetime: None };
        let (key, secret) = key::create(self.server().database(), &new).await.unwrap();
        (key.id, secret.reveal().to_owned())
    }

    /// For another process that shall work on the database.
    pub(crate) fn database_url(&self) -> String {
        self.database.as_ref().expect("the database is one of the shared Postgres").url()
    }

    pub(crate) fn pool(&self) -> &sqlx::PgPool {
        self.server().database().pool()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server().address()
    }

    /// The queue of this server, for a test that acts as a worker.
    pub(crate) fn queue(&self) -> Queue {
        Queue::new(self.server().database().clone(), self.options.lease).with_retry_pause(Duration::ZERO)
    }

    /// A queue whose leases have another length.
    pub(crate) fn queue_with_lease(&self, lease: Duration) -> Queue {
        Queue::new(self.server().database().clone(), lease).with_retry_pause(Duration::ZERO)
    }

    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }
}

/// The folder around a server's data folder.
fn data_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("secateur-test-").tempdir().unwrap();
    // The user of a Postgres of its own has to pass through.
    make_passable(folder.path());
    folder
}

/// A file of the examples.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Asks until the answer is `Some`, for as long as anything may take.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {} seconds", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn make_passable(folder: &Path) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// Files anywhere below a folder; one that is not there has none.
pub(crate) fn count_files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}
