//! The Python of docs/webhooks.md, run on a real delivery.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::json;

use super::{cancelled_job, server};
use crate::harness::{Received, Receiver};

/// Runs the page's first block of Python and has it verify; whether it did without a complaint.
fn verifies(secret: &str, received: &Received) -> bool {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks.md")).unwrap();
    let block = page.split("```python\n").nth(1).expect("the page has Python").split("```").next().unwrap();
    let program = format!(
        "{block}\nimport json, sys\ngiven = json.load(sys.stdin)\n\
         print(verify([given['secret']], given['headers'], given['body'].encode())['type'])"
    );
    let headers: serde_json::Map<_, _> =
        received.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let body = String::from_utf8(received.body.clone()).unwrap();
    let mut python = Command::new("python3")
        .args(["-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is on the path");
    let given = json!({"secret": secret, "headers": headers, "body": body}).to_string();
    python.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() || complaint.contains("ValueError: "), "{complaint}");
    output.status.success() && said.trim() == "job.cancelled"
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_python_accepts_a_delivery_and_nothing_that_was_changed() {
    let (server, mut receiver) = (server().await, Receiver::start().await);
    let client = server.client_of("vision", Scope::Admin).await;
    let made = client.post("/v1/webhook-secrets").await.expect(StatusCode::CREATED);
    let secret = made["secret"].as_str().unwrap();
    cancelled_job(&client, &receiver).await;
    let received = receiver.next().await;
    assert!(verifies(secret, &received));
    assert!(!verifies("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &received), "another secret");
    let mut forged = received.clone();
    forged.body.push(b' ');
    assert!(!verifies(secret, &forged), "another body");
    let mut late = received.clone();
    late.headers.insert("webhook-timestamp", "1614265330".parse().unwrap());
    assert!(!verifies(secret, &late), "another time");
}
