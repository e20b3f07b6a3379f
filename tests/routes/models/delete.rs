//! `DELETE /v1/models/{id}` and `DELETE /v1/datasets/{id}`

use reqwest::StatusCode;
use secateur::access::Scope;
use secateur::queue::{Capacity, Share};
use serde_json::json;

use crate::harness::{Hand, TestServer, count_files};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_gone_and_can_be_uploaded_again() {
    let server = TestServer::start().await;
    let client = server.client();
    for (folder, id, not_found) in [
        ("models", client.upload_model().await, "model_not_found"),
        ("datasets", client.upload_dataset().await, "dataset_not_found"),
    ] {
        let blobs = server.data_folder().join("blobs").join(folder);
        let path = format!("/v1/{folder}/{id}");
        assert_eq!(client.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(count_files(&blobs), 0);
        client.get(&path).await.problem(404, not_found);
        client.delete(&path).await.problem(404, not_found);
        assert_eq!(client.get(&format!("/v1/{folder}")).await.expect(StatusCode::OK)["items"], json!([]));
        let again = if folder == "models" { client.upload_model().await } else { client.upload_dataset().await };
        assert_ne!(again, id);
        assert_eq!(count_files(&blobs), 1);
    }
    assert!(
        Hand::of(&server)
            .queue
            .claim("hand", Share::Inspections, Capacity::default())
            .await
            .unwrap()
            .is_some_and(|task| task.plan.inputs.len() == 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_not_ended_keeps_what_it_needs_and_one_that_has_keeps_its_report() {
    let server = TestServer::start().await;
    let client = server.client();
    let (model, dataset) = (client.upload_model().await, client.upload_dataset().await);
    let body =
        json!({"model_id": model, "dataset_id": dataset, "target": {"flops_reduction": 0.5}, "method": "uniform"});
    let job = client.post_json("/v1/jobs", &body).await.expect(StatusCode::ACCEPTED);
    let id = job["id"].as_str().unwrap();
    for (path, code) in
        [(format!("/v1/models/{model}"), "model_in_use"), (format!("/v1/datasets/{dataset}"), "dataset_in_use")]
    {
        let problem = client.delete(&path).await.problem(409, code);
        assert_eq!(problem["jobs"], json!([id]));
        client.get(&path).await.expect(StatusCode::OK);
    }
    Hand::of(&server).finish_all().await;
    for path in [format!("/v1/models/{model}"), format!("/v1/datasets/{dataset}")] {
        assert_eq!(client.delete(&path).await.status, StatusCode::NO_CONTENT);
    }
    let shown = client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!((&shown["status"], &shown["model_id"]), (&"succeeded".into(), &model.as_str().into()));
    assert_eq!(client.get(&format!("/v1/jobs/{id}/artifacts/report.json")).await.status, StatusCode::OK);
    // Nobody can ask for another job on what is gone.
    client.post_json("/v1/jobs", &body).await.problem(404, "model_not_found");
    let measured: i64 = sqlx::query_scalar("select count(*) from measurement").fetch_one(server.pool()).await.unwrap();
    assert_eq!(measured, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_needs_the_right_and_the_thing_to_be_ones_own() {
    let server = TestServer::start().await;
    let ours = server.client_of("ours", Scope::Submit).await;
    let path = format!("/v1/models/{}", ours.upload_model().await);
    server.client_of("ours", Scope::Read).await.delete(&path).await.problem(403, "insufficient_scope");
    server.client_of("theirs", Scope::Admin).await.delete(&path).await.problem(404, "model_not_found");
    assert_eq!(ours.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_that_runs_goes_with_its_model() {
    let server = TestServer::start().await;
    let client = server.client();
    let model = client.upload_model().await;
    let hand = Hand::of(&server);
    let task = hand.claim().await;
    assert_eq!(client.delete(&format!("/v1/models/{model}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hand.finish(&task).await, secateur::queue::Written::Cancelled);
}
