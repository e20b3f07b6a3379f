//! The API while Postgres is away, and after it has come back.

use reqwest::StatusCode;

use crate::harness::{Away, TestServer, eventually, example};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_says_so_and_works_again_afterwards() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    let client = server.client();
    let id = client.submit().await;
    let away = Away::new(&server.data_folder());
    let gone = || async { (client.get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(()) };
    eventually("the database is gone", gone).await;

    for path in ["/readyz", "/v1/jobs", &format!("/v1/jobs/{id}")] {
        let answer = client.get(path).await;
        answer.problem(503, "database_unavailable");
        assert_eq!(answer.header("retry-after"), "5");
    }
    let body = std::fs::read(example("resnet20-digits.pt")).unwrap();
    client.upload("/v1/models", body).await.problem(503, "database_unavailable");
    assert_eq!(client.get("/healthz").await.status, StatusCode::OK);

    drop(away);
    let ready = || async { (client.get("/readyz").await.status == StatusCode::OK).then_some(()) };
    eventually("the database is back", ready).await;
    let job = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued");
}
