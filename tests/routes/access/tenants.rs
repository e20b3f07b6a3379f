//! What belongs to one tenant is nothing to another.

use reqwest::{Method, StatusCode};
use secateur::access::Scope;
use secateur_core::stage::Stage;
use serde_json::{Value, json};

use super::{Belongings, ids, submit};
use crate::harness::{Client, Hand, TestServer, count_files, json_body, send};

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_is_ones_own() {
    let server = TestServer::start().await;
    let (ours, theirs) = (Belongings::of(&server, "ours").await, Belongings::of(&server, "theirs").await);
    for (path, our_id, their_id) in [
        ("/v1/jobs", &ours.job, &theirs.job),
        ("/v1/models", &ours.model, &theirs.model),
        ("/v1/datasets", &ours.dataset, &theirs.dataset),
        ("/v1/keys", &ours.key, &theirs.key),
    ] {
        assert_eq!(ids(&ours.client, path).await, std::slice::from_ref(our_id), "{path}");
        assert_eq!(ids(&theirs.client, path).await, std::slice::from_ref(their_id), "{path}");
        // An id of others as a cursor tells no more than any other.
        let after = format!("{path}?after={their_id}");
        assert_eq!(ids(&ours.client, &after).await, std::slice::from_ref(our_id), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_from_two_tenants_are_two_models_and_two_blobs() {
    let server = TestServer::start().await;
    let (ours, theirs) = (Belongings::of(&server, "ours").await, Belongings::of(&server, "theirs").await);
    assert_ne!(ours.model, theirs.model);
    assert_ne!(ours.dataset, theirs.dataset);
    assert_eq!(count_files(&server.data_folder().join("blobs/models")), 2);
    assert_eq!(count_files(&server.data_folder().join("blobs/datasets")), 2);
    assert_eq!(ours.client.upload_model().await, ours.model, "and one's own are still one");
    let summary = "update model set summary = '{}' where tenant = 'theirs'";
    sqlx::query(summary).execute(server.pool()).await.unwrap();
    let model = ours.client.get(&format!("/v1/models/{}", ours.model)).await.expect(StatusCode::OK);
    assert!(model["summary"].is_null(), "what others' inspections found out stays with them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cannot_name_what_others_have_uploaded() {
    let server = TestServer::start().await;
    let (ours, theirs) = (Belongings::of(&server, "ours").await, Belongings::of(&server, "theirs").await);
    let spec = |model: &str, dataset: &str| json!({"model_id": model, "dataset_id": dataset, "target": {"flops_reduction": 0.5}});
    let answer = ours.client.post_json("/v1/jobs", &spec(&theirs.model, &ours.dataset)).await;
    let for_theirs = answer.problem(404, "model_not_found");
    let unknown = secateur::id::ModelId::generate().to_string();
    let for_nothing =
        ours.client.post_json("/v1/jobs", &spec(&unknown, &ours.dataset)).await.problem(404, "model_not_found");
    let without = |problem: Value, id: &str| problem.to_string().replace(id, "ID");
    assert_eq!(without(for_theirs, &theirs.model), without(for_nothing, &unknown));
    ours.client.post_json("/v1/jobs", &spec(&ours.model, &theirs.dataset)).await.problem(404, "dataset_not_found");
    ours.client.post_json("/v1/jobs", &spec(&ours.model, &ours.dataset)).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_ones_own() {
    let server = TestServer::start().await;
    let (ours, theirs) = (Belongings::of(&server, "ours").await, Belongings::of(&server, "theirs").await);
    let post = |client: &Client, model: &str, reduction: f64| {
        let body = json!({"model_id": model, "target": {"flops_reduction": reduction}});
        let request = client.request(Method::POST, "/v1/jobs").header("idempotency-key", "k");
        send(json_body(request, &body))
    };
    let first = post(&theirs.client, &theirs.model, 0.5).await.expect(StatusCode::ACCEPTED);
    let answer = post(&ours.client, &ours.model, 0.6).await;
    assert_eq!(answer.header("idempotent-replayed"), "");
    assert_ne!(answer.expect(StatusCode::ACCEPTED)["id"], first["id"]);
    post(&ours.client, &ours.model, 0.7).await.problem(422, "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_has_measured_another_measures_for_itself() {
    let server = TestServer::start().await;
    let (ours, theirs) =
        (server.client_of("ours", Scope::Submit).await, server.client_of("theirs", Scope::Submit).await);
    let hand = Hand::of(&server);
    theirs.submit_sacp(json!({})).await;
    hand.finish_all().await;
    let job = ours.submit_sacp(json!({})).await;
    assert_eq!(hand.claim_at(Stage::Sensitivity).await.stage, Stage::Sensitivity);
    let shown = ours.get(&format!("/v1/jobs/{job}")).await.expect(StatusCode::OK);
    assert_eq!(shown["progress"]["sensitivity"]["reused"], 0, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_there_were_keys_belongs_to_the_tenant_default() {
    let server = TestServer::start().await;
    let anonymous = server.client();
    let model = anonymous.upload_model().await;
    let job = submit(&anonymous, &model).await;
    let ours = server.client_of("default", Scope::Submit).await;
    let theirs = server.client_of("theirs", Scope::Submit).await;
    assert_eq!(ids(&ours, "/v1/jobs").await, [job]);
    assert_eq!(ids(&ours, "/v1/models").await, [model]);
    assert!(ids(&theirs, "/v1/jobs").await.is_empty() && ids(&theirs, "/v1/models").await.is_empty());
}
