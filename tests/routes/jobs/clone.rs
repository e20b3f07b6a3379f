//! `clone_of` of `POST /v1/jobs`.

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::{Value, json};

use crate::harness::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_has_what_the_earlier_job_had_but_for_what_is_changed() {
    let server = TestServer::start().await;
    let client = server.client();
    let earlier =
        client.submit_sacp(json!({"seed": 7, "fine_tune": {"epochs": 3}, "labels": {"team": "vision"}})).await;
    let earlier = client.get(&format!("/v1/jobs/{earlier}")).await.expect(StatusCode::OK);
    let body = json!({"clone_of": earlier["id"], "target": {"flops_reduction": 0.7}, "fine_tune": {"epochs": 5}});
    let clone = client.post_json("/v1/jobs", &body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(clone["clone_of"], earlier["id"]);
    assert_eq!((&clone["model_id"], &clone["dataset_id"]), (&earlier["model_id"], &earlier["dataset_id"]));
    let mut expected = earlier["spec"].clone();
    expected["target"] = json!({"flops_reduction": 0.7});
    expected["fine_tune"]["epochs"] = 5.into();
    assert_eq!(clone["spec"], expected);

    let without_data = json!({"clone_of": earlier["id"], "dataset_id": Value::Null});
    let clone = client.post_json("/v1/jobs", &without_data).await.expect(StatusCode::ACCEPTED);
    assert!(clone["dataset_id"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cloned_is_named() {
    let server = TestServer::start().await;
    let (mine, theirs) =
        (server.client_of("mine", Scope::Submit).await, server.client_of("theirs", Scope::Submit).await);
    let secret = theirs.submit().await;
    for unknown in [secret, format!("job_{}", "0".repeat(32)), "job_x".to_owned()] {
        mine.post_json("/v1/jobs", &json!({"clone_of": unknown})).await.problem(404, "job_not_found");
    }
    let own = mine.submit().await;
    let body = json!({"clone_of": own, "fine_tune": {"epochs": -1}});
    let problem = mine.post_json("/v1/jobs", &body).await.problem(422, "invalid_spec");
    assert_eq!(problem["node"], "fine_tune.epochs");
}
