//! A migrated database for one test.

use std::time::Duration;

use secateur::database::Database;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::shared::SharedPostgres;
use super::template::digest_of_migrations;

/// Every server has it; databases are made and dropped from there.
const MAINTENANCE: &str = "postgres";
/// Of a database: nobody else is in the template, so it can be copied at any time.
const CLOSED: &str = "allow_connections false is_template true";

/// A database of the shared server; dropping this drops it, whoever is still connected.
pub(crate) struct TestDatabase {
    server: &'static SharedPostgres,
    name: String,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let server = tokio::task::spawn_blocking(SharedPostgres::of_this_run).await.expect("the server starts");
        let template = template(server).await;
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        execute(server, &format!("create database {name} template {template}")).await;
        Self { server, name }
    }

    /// As `DATABASE_URL` takes it.
    pub(crate) fn url(&self) -> String {
        let options = self.server.options_for(&self.name);
        let (user, port) = (options.get_username(), options.get_port());
        // A host that is a folder, where the socket is, cannot stand in its usual place.
        let base = format!("postgres://{user}@localhost:{port}/{}", self.name);
        reqwest::Url::parse_with_params(&base, [("host", options.get_host())]).unwrap().to_string()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, statement) = (self.server, format!("drop database {} with (force)", self.name));
        // A test's own runtime cannot wait for anything in here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(server, &statement));
        });
        let dropped = dropping.join();
        // A second panic would hide the first one.
        assert!(dropped.is_ok() || std::thread::panicking(), "database {} cannot be dropped", self.name);
    }
}

/// The name of the migrated database that is copied for each test. It is made by the first who asks.
async fn template(server: &'static SharedPostgres) -> String {
    let name = format!("template_{}", &digest_of_migrations()[..16]);
    if is_there(server, &name).await {
        return name;
    }
    let _lock = tokio::task::spawn_blocking(|| server.lock()).await.unwrap();
    if !is_there(server, &name).await {
        let partial = format!("{name}_partial");
        execute(server, &format!("drop database if exists {partial}")).await;
        execute(server, &format!("create database {partial}")).await;
        let database = Database::new(server.options_for(&partial), 1, Duration::from_secs(30));
        database.migrate().await.expect("the migrations run");
        database.close().await;
        execute(server, &format!("alter database {partial} with {CLOSED}")).await;
        execute(server, &format!("alter database {partial} rename to {name}")).await;
    }
    name
}

async fn is_there(server: &SharedPostgres, name: &str) -> bool {
    let mut connection = connect(&server.options_for(MAINTENANCE)).await;
    let query = "select exists (select 1 from pg_database where datname = $1)";
    sqlx::query_scalar(query).bind(name).fetch_one(&mut connection).await.unwrap()
}

async fn execute(server: &SharedPostgres, statement: &str) {
    let mut connection = connect(&server.options_for(MAINTENANCE)).await;
    let done = connection.execute(AssertSqlSafe(statement.to_owned())).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    let _ = connection.close().await;
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.expect("the shared PostgreSQL answers")
}
