//! The description of the API.

use std::collections::HashSet;
use std::path::Path;

use reqwest::StatusCode;

use crate::harness::TestServer;

#[test]
fn the_committed_description_is_that_of_the_code() {
    let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.yaml")).unwrap();
    let of_the_code = secateur::http::openapi_document().to_yaml().unwrap();
    assert_eq!(
        committed.trim_end(),
        of_the_code.trim_end(),
        "openapi.yaml has drifted: `cargo run -- openapi > openapi.yaml`"
    );
}

/// What a client that is generated from the description calls its methods.
#[test]
fn no_two_operations_have_one_id() {
    let document = serde_json::to_value(secateur::http::openapi_document()).unwrap();
    let methods = document["paths"].as_object().unwrap().values().filter_map(serde_json::Value::as_object);
    let ids: Vec<&str> =
        methods.flat_map(|methods| methods.values()).filter_map(|method| method["operationId"].as_str()).collect();
    let different: HashSet<&str> = ids.iter().copied().collect();
    assert!(ids.len() > 20 && different.len() == ids.len(), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_served_and_has_every_route() {
    let server = TestServer::start().await;
    let document = server.client().get("/openapi.json").await.expect(StatusCode::OK);
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in ["/v1/jobs", "/v1/jobs/{id}/artifacts/{name}", "/v1/models", "/v1/datasets/{id}", "/readyz"] {
        assert!(paths.contains(&path), "{path} is missing: {paths:?}");
    }
}
