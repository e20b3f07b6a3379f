//! `GET /readyz`: each need with its state in words.

use reqwest::StatusCode;
use secateur::engine::EngineBinary;
use serde_json::Value;

use crate::harness::{TestServer, eventually};

fn check<'a>(body: &'a Value, name: &str) -> &'a Value {
    let checks = body["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} is missing: {body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_need_is_told_with_its_state() {
    let server = TestServer::start().await;
    let ready = server.client().get("/readyz").await.expect(StatusCode::OK);
    for name in ["service", "database", "disk", "blobs", "engine", "notifications"] {
        assert_eq!(check(&ready, name)["ok"], true, "{ready}");
        assert!(check(&ready, name)["state"].as_str().unwrap().ends_with('.'), "{ready}");
    }
    assert!(check(&ready, "engine")["state"].as_str().unwrap().contains("no engine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_engine_does_not_start_is_not_ready() {
    let server = TestServer::start_with(|options| {
        options.slots = 1;
        options.engine = Some(EngineBinary::find(Some("/bin/false".as_ref())).unwrap());
    })
    .await;
    let problem = server.client().get("/readyz").await.problem(503, "engine_unavailable");
    assert_eq!((&check(&problem, "engine")["ok"], &check(&problem, "database")["ok"]), (&false.into(), &true.into()));
    server.client().get("/healthz").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_blobs_cannot_be_written_is_not_ready_until_they_can() {
    let server = TestServer::start().await;
    let client = server.client();
    let blobs = server.data_folder().join("blobs");
    std::fs::remove_dir_all(&blobs).unwrap();
    // A file where the folder was: nobody, not even root, can make anything below it.
    std::fs::write(&blobs, "").unwrap();
    let problem = client.get("/readyz").await.problem(503, "blob_store_unavailable");
    assert_eq!(check(&problem, "blobs")["ok"], false);
    std::fs::remove_file(&blobs).unwrap();
    client.get("/readyz").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_lacks_a_migration_is_not_ready() {
    let server = TestServer::start().await;
    let newest = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(newest).execute(server.pool()).await.unwrap();
    let problem = server.client().get("/readyz").await.problem(503, "database_unavailable");
    assert!(check(&problem, "database")["state"].as_str().unwrap().contains("schema"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_the_connection_for_notifications_is_not_ready_until_it_listens_again() {
    let server = TestServer::start().await;
    let client = server.client();
    // It comes back within a second, so it is ended again until that is seen.
    let listeners = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and query ilike 'listen%'";
    let problem = eventually("the listener is gone", || async {
        sqlx::query(listeners).execute(server.pool()).await.unwrap();
        let answer = client.get("/readyz").await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
    .problem(503, "notifications_unavailable");
    assert_eq!(check(&problem, "notifications")["ok"], false);
    eventually("it listens again", || async { (client.get("/readyz").await.status == StatusCode::OK).then_some(()) })
        .await;
}
