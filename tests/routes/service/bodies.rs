//! Bodies: how long, how deep, and what of them is told back.

use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{TestServer, send};

#[tokio::test(flavor = "multi_thread")]
async fn json_is_not_nested_deeper_than_anything_needs() {
    let server = TestServer::start().await;
    let deep = format!("{{\"model_id\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let post = server.client().request(Method::POST, "/v1/jobs").header("content-type", "application/json").body(deep);
    let problem = send(post).await.problem(422, "invalid_spec");
    assert!(problem["detail"].as_str().unwrap().contains("100001 levels deep: at most 32"), "{problem}");
    let form = Form::new().text("spec", format!("{{\"labels\": {}", "[".repeat(1000)));
    server.client().post_form("/v1/jobs", form).await.problem(400, "invalid_json");
    let model = server.client().upload_model().await;
    let inspect = server.client().request(Method::POST, &format!("/v1/models/{model}/inspect"));
    send(inspect.body("[".repeat(50))).await.problem(400, "invalid_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_is_short_beside_the_configuration_that_it_replays_and_a_list_leaves_that_out() {
    let server = TestServer::start().await;
    let client = server.client();
    let model_id = client.upload_model().await;
    let target = json!({"flops_reduction": 0.5});
    let long = json!({"model_id": model_id, "target": target, "labels": {"a": "x".repeat(70_000)}});
    let problem = client.post_json("/v1/jobs", &long).await.problem(422, "invalid_spec");
    assert!(problem["detail"].as_str().unwrap().contains("at most 65536"), "{problem}");
    let labels: serde_json::Map<_, _> = (0..33).map(|i| (format!("k{i}"), json!("v"))).collect();
    let many = json!({"model_id": model_id, "target": target, "labels": labels});
    assert_eq!(client.post_json("/v1/jobs", &many).await.problem(422, "invalid_spec")["node"], "labels");

    let channels: Vec<u32> = (0..50_000).collect();
    let config = json!({"format": 1, "groups": {"conv1": channels}});
    let replay = json!({"model_id": model_id, "target": target, "method": "config", "config": config});
    let job = client.post_json("/v1/jobs", &replay).await.expect(StatusCode::ACCEPTED);
    assert_eq!(job["spec"]["config"], config);
    let list = client.get("/v1/jobs").await;
    assert!(list.body.len() < 10_000, "{} bytes", list.body.len());
    let list = list.expect(StatusCode::OK);
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["spec"]["method"]), (&job["id"], &json!("config")));
    assert!(list["items"][0]["spec"].get("config").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_a_part_are_short() {
    let server = TestServer::start().await;
    let client = server.client();
    let with_head = |padding: String| {
        let head = format!("content-disposition: form-data; name=\"file\"\r\nx-padding: {padding}\r\n\r\n");
        let pieces = std::iter::once("--b\r\n".to_owned())
            .chain(head.as_bytes().chunks(4096).map(|piece| String::from_utf8(piece.to_vec()).unwrap()))
            .chain(["hello\r\n--b--\r\n".to_owned()]);
        let body = futures::stream::iter(pieces.map(Ok::<_, std::io::Error>).collect::<Vec<_>>());
        let post = client.request(Method::POST, "/v1/models").header("content-type", "multipart/form-data; boundary=b");
        send(post.body(reqwest::Body::wrap_stream(body)))
    };
    with_head("x".repeat(1000)).await.problem(422, "not_torchscript");
    let problem = with_head("x".repeat(2_000_000)).await.problem(400, "invalid_multipart");
    assert!(problem["detail"].as_str().unwrap().contains("longer than 16384 bytes"), "{problem}");
    // What comes before the first part counts as its head.
    let preamble = client.request(Method::POST, "/v1/models").header("content-type", "multipart/form-data; boundary=b");
    send(preamble.body("x".repeat(2_000_000))).await.problem(400, "invalid_multipart");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_back_is_cut_and_harmless_on_a_terminal() {
    let server = TestServer::start().await;
    let client = server.client();
    let model_id = client.upload_model().await;
    let field = format!("\u{1b}[31m\u{202e}{}", "x".repeat(5000));
    let spec = json!({"model_id": model_id, "target": {"flops_reduction": 0.5}, field: 1});
    let problem = client.post_json("/v1/jobs", &spec).await.problem(422, "invalid_spec");
    let (detail, node) = (problem["detail"].as_str().unwrap(), problem["node"].as_str().unwrap());
    for text in [detail, node] {
        assert!(text.contains("\\u001b[31m\\u202exxx"), "{text}");
        assert!(text.chars().count() < 1100 && !text.chars().any(char::is_control), "{text}");
    }
    let path = format!("/{}", "y".repeat(5000));
    let problem = client.get(&path).await.problem(404, "route_not_found");
    assert!(problem["detail"].as_str().unwrap().len() < 300, "{problem}");
}
