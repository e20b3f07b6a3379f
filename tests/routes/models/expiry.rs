//! What nobody uses for long goes by itself, and so do blobs that no row knows.

use std::time::Duration;

use reqwest::StatusCode;
use secateur::blob::BlobKey;
use secateur::id::{JobId, ModelId};
use secateur::table::loose_blob;
use secateur::upkeep::Keep;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::{Hand, TestServer, count_files, eventually};

const DAY: Duration = Duration::from_hours(24);

async fn server(keep: Keep) -> TestServer {
    TestServer::start_with(|options| {
        options.keep = keep;
        options.upkeep_interval = Duration::from_millis(50);
    })
    .await
}

/// Lets two days pass for the rows of a table.
async fn age(server: &TestServer, statement: &'static str) {
    sqlx::query(statement).execute(server.pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_no_job_uses_expire_and_those_of_a_job_stay() {
    let server = server(Keep { uploads: Some(DAY), jobs: None }).await;
    let client = server.client();
    let (model, dataset) = (client.upload_model().await, client.upload_dataset().await);
    let body = json!({"model_id": model, "target": {"flops_reduction": 0.5}, "method": "uniform"});
    let job = client.post_json("/v1/jobs", &body).await.expect(StatusCode::ACCEPTED);
    age(&server, "update model set uploaded_at = uploaded_at - interval '2 days'").await;
    age(&server, "update dataset set uploaded_at = uploaded_at - interval '2 days'").await;
    let is_gone = |path: String| {
        let client = client.clone();
        async move { (client.get(&path).await.status == StatusCode::NOT_FOUND).then_some(()) }
    };
    eventually("the data set expires", || is_gone(format!("/v1/datasets/{dataset}"))).await;
    client.get(&format!("/v1/models/{model}")).await.expect(StatusCode::OK);

    Hand::of(&server).finish_all().await;
    age(&server, "update job set finished_at = finished_at - interval '2 days'").await;
    eventually("the model expires", || is_gone(format!("/v1/models/{model}"))).await;
    let blobs = server.data_folder().join("blobs");
    let freed =
        || async { (count_files(&blobs.join("models")) + count_files(&blobs.join("datasets")) == 0).then_some(()) };
    eventually("the blobs are freed", freed).await;
    client.get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_ended_long_ago_expire_with_all_that_they_made() {
    let server = server(Keep { uploads: None, jobs: Some(DAY) }).await;
    let client = server.client();
    let old = client.submit().await;
    Hand::of(&server).finish_all().await;
    let new = client.submit().await;
    let path = format!("/v1/jobs/{old}");
    let job = client.get(&path).await.expect(StatusCode::OK);
    let time = |name: &str| OffsetDateTime::parse(job[name].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(time("expires_at") - time("finished_at"), DAY);
    age(&server, "update job set finished_at = finished_at - interval '2 days'").await;
    eventually("the job expires", || async { (client.get(&path).await.status == StatusCode::GONE).then_some(()) })
        .await;
    client.get(&path).await.problem(410, "job_expired");
    client.get(&format!("{path}/artifacts")).await.problem(410, "job_expired");
    let blobs = server.data_folder().join("blobs/jobs");
    eventually("its blobs are freed", || async { (count_files(&blobs) == 0).then_some(()) }).await;
    client.get(&format!("/v1/jobs/{new}")).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_a_crash_has_left_is_freed_and_one_that_is_on_its_way_is_not() {
    let server = server(Keep::default()).await;
    let blobs = server.data_folder().join("blobs");
    let tenant = "default".parse().unwrap();
    let (left, coming) = (BlobKey::model(&tenant, ModelId::generate()), BlobKey::model(&tenant, ModelId::generate()));
    let stale = BlobKey::everything_of(JobId::generate());
    for path in [left.as_str().to_owned(), coming.as_str().to_owned(), format!("{stale}screen/0/1/x")] {
        std::fs::create_dir_all(blobs.join(&path).parent().unwrap()).unwrap();
        std::fs::write(blobs.join(&path), b"x").unwrap();
    }
    loose_blob::insert(server.pool(), &coming, DAY).await.unwrap();
    loose_blob::insert(server.pool(), &left, Duration::ZERO).await.unwrap();
    loose_blob::insert(server.pool(), &stale, Duration::ZERO).await.unwrap();
    eventually("two are freed", || async { (count_files(&blobs) == 1).then_some(()) }).await;
    assert!(blobs.join(coming.as_str()).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_leaves_no_loose_blob() {
    let server = TestServer::start().await;
    server.client().upload_model().await;
    server.client().upload_dataset().await;
    let loose: i64 = sqlx::query_scalar("select count(*) from loose_blob").fetch_one(server.pool()).await.unwrap();
    assert_eq!(loose, 0);
}
