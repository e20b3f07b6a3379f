//! Postgres is away for ten seconds while an engine works.

use std::time::Duration;

use reqwest::StatusCode;

use super::{quick_spec, submit, wait_for_end, wait_for_stage, with_one_slot};
use crate::harness::{Away, TestServer, eventually};
use crate::with_engine::engine;

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_goes_on_and_its_result_counts() {
    let server = TestServer::start_with_own_postgres(|options| with_one_slot(options, engine())).await;
    let client = server.client();
    let path = submit(&client, "vgg-digits.pt", &quick_spec(20)).await;
    wait_for_stage(&client, &path, "tune").await;
    let away = Away::new(&server.data_folder());
    let gone = || async { (client.get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(()) };
    eventually("the database is gone", gone).await;
    // The length of the outage is what is tested.
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(away);
    let back = || async { (client.get("/readyz").await.status == StatusCode::OK).then_some(()) };
    eventually("the database is back", back).await;

    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let claims: i64 = sqlx::query_scalar("select max(attempt)::int8 from task")
        .fetch_one(server.queue().database().pool())
        .await
        .unwrap();
    assert_eq!(claims, 1, "no task was run twice");
}
