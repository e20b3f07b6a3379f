//! Where webhooks are not sent.

use reqwest::StatusCode;
use serde_json::json;

use super::{after_attempts, cancelled_job, server};
use crate::harness::{Client, Receiver, TestServer, form};

async fn submit(client: &Client, url: &str) -> crate::harness::Answer {
    let spec = json!({"target": {"flops_reduction": 0.5}, "method": "global_l2", "webhook": {"url": url}});
    client.post_form("/v1/jobs", form(&spec)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_inside_is_refused_with_the_job() {
    let server = TestServer::start().await;
    for (url, words) in [
        ("http://ci.example/hook", "it is not `https`"),
        ("https://ci.example:22/", "its port is 22"),
        ("https://127.0.0.1/", "its host is an address that is not public"),
        ("https://169.254.169.254/latest/meta-data", "its host is an address that is not public"),
        ("https://0x7f000001/", "its host is an address that is not public"),
        ("https://[::ffff:10.0.0.1]/", "its host is an address that is not public"),
    ] {
        let problem = submit(&server.client(), url).await.problem(422, "invalid_spec");
        assert_eq!(problem["node"], "webhook.url");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words) && detail.contains("by `https` on port 443"), "{url}: {detail}");
        assert!(problem["hint"].as_str().unwrap().contains("--webhook-allow"), "{problem}");
    }
    let answer = submit(&server.client(), "ftp://ci.example/").await;
    assert_eq!(answer.problem(422, "invalid_spec")["node"], "webhook.url");
    submit(&server.client(), "https://ci.example/hook").await.expect(StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_loopback_is_not_connected_to() {
    // One network is allowed, so what names lead to is looked at when they are resolved; loopback is not in it.
    let strict = TestServer::start_with(|options| options.webhooks.allow = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let mut receiver = Receiver::start().await;
    let client = strict.client();
    for url in [receiver.url_at("localhost"), "https://localhost/hook".to_owned()] {
        let job = client.submit_hooked(json!({"url": url})).await;
        client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
        let delivery = after_attempts(&client, &job, 1).await;
        let error = delivery["attempts"][0]["error"].as_str().unwrap();
        assert_eq!(error, "the host's name leads to no address to which this server sends");
        assert_eq!(delivery["status"], "pending");
    }
    assert!(receiver.rest().is_empty());

    let lenient = TestServer::start_with(|options| options.webhooks.allow = vec!["localhost".parse().unwrap()]).await;
    let client = lenient.client();
    let job = client.submit_hooked(json!({"url": receiver.url_at("localhost")})).await;
    client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(receiver.next().await.json()["data"]["job_id"], job, "nothing else kept it away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_allow_it_does_not_send_what_another_has_accepted() {
    let accepting = TestServer::start_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse().unwrap()];
        options.webhooks.at_once = 0;
    })
    .await;
    let mut receiver = Receiver::start().await;
    let mut sending = accepting
        .start_beside(|options| {
            options.webhooks.allow = Vec::new();
            options.webhooks.at_once = 1;
        })
        .await;
    let job = cancelled_job(&accepting.client(), &receiver).await;
    let delivery = after_attempts(&accepting.client(), &job, 1).await;
    let error = delivery["attempts"][0]["error"].as_str().unwrap();
    assert_eq!(error, "this server does not send there: it is not `https`");
    assert!(receiver.rest().is_empty());
    sending.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_without_a_certificate_is_not_sent_anything() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client();
    let job = client.submit_hooked(json!({"url": receiver.url().replace("http://", "https://")})).await;
    client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
    let delivery = after_attempts(&client, &job, 1).await;
    let error = delivery["attempts"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("no connection: "), "{error}");
    assert!(receiver.rest().is_empty(), "it speaks no TLS");
}
