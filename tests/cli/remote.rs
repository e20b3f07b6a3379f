//! Commands that use a server: `submit`, `jobs`, `get`, `logs`, `cancel`.

use std::process::Output;

use secateur::access::Scope;
use serde_json::Value;

use super::{secateur, stderr, stdout};
use crate::harness::{Hand, TestServer, example};

/// Runs a command against a server.
async fn run(server: &TestServer, key: Option<&str>, words: &[&str]) -> Output {
    let mut command = secateur();
    command.env("SECATEUR_URL", format!("http://{}", server.address())).args(words);
    if let Some(key) = key {
        command.env("SECATEUR_KEY", key);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn succeed(server: &TestServer, words: &[&str]) -> String {
    let output = run(server, None, words).await;
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
    stdout(&output).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_once_shown_and_fetched() {
    let server = TestServer::start().await;
    let model = example("vgg-digits.pt");
    let words = ["submit", model.to_str().unwrap(), "--flops", "0.5", "--method", "global_l2", "--no-fine-tune"];
    let once = [&words[..], &["--name", "nightly", "--idempotency-key", "run-7"]].concat();
    let id = succeed(&server, &once).await;
    assert_eq!(succeed(&server, &once).await, id, "the same key is the same job");
    let listed = succeed(&server, &["jobs"]).await;
    assert!(listed.contains(&id) && listed.contains("nightly") && listed.lines().count() == 2, "{listed}");
    Hand::of(&server).finish_all().await;

    let job: Value = serde_json::from_str(&succeed(&server, &["get", &id, "--json"]).await).unwrap();
    assert_eq!(job["status"], "succeeded");
    assert!(succeed(&server, &["get", &id]).await.contains("model.pt"));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("small.pt");
    succeed(&server, &["get", &id, "model.pt", "-o", to.to_str().unwrap()]).await;
    let direct = server.client().get(&format!("/v1/jobs/{id}/artifacts/model.pt")).await.body;
    assert_eq!(std::fs::read(&to).unwrap(), direct);

    let followed = succeed(&server, &["logs", &id, "--follow", "--json"]).await;
    let kinds: Vec<String> = followed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()), ("queued", "succeeded"));
    assert_eq!(succeed(&server, &["logs", &id, "--json"]).await.lines().count(), kinds.len());
    let listed = succeed(&server, &["jobs", "--json", "--status", "succeeded"]).await;
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()["id"], id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_said_with_its_hint() {
    let server = TestServer::start().await;
    let (_, secret) = server.make_key("default", Scope::Submit).await;
    let without = run(&server, None, &["jobs"]).await;
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("SECATEUR_KEY"), "{}", stderr(&without));
    let unknown = run(&server, Some(&secret), &["cancel", "job_0198c2f4000070008000000000000000"]).await;
    assert!(stderr(&unknown).contains("job_not_found"), "{}", stderr(&unknown));
    let model = example("vgg-digits.pt");
    let words = ["submit", model.to_str().unwrap(), "--flops", "1.5", "--no-fine-tune"];
    let refused = run(&server, Some(&secret), &words).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("1.5"), "{}", stderr(&refused));
    let id = {
        let words = ["submit", model.to_str().unwrap(), "--flops", "0.5", "--no-fine-tune"];
        stdout(&run(&server, Some(&secret), &words).await).trim().to_owned()
    };
    let cancelled = run(&server, Some(&secret), &["cancel", &id, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&stdout(&cancelled)).unwrap()["status"], "cancelled");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let output = secateur().args(["jobs", "--url", "http://127.0.0.1:1", "--patience", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("http://127.0.0.1:1/ cannot be reached"), "{}", stderr(&output));
    assert!(stderr(&output).contains("SECATEUR_URL"), "{}", stderr(&output));
}

#[test]
fn shells_and_man_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = secateur().args(["completions", shell]).output().unwrap();
        assert!(stdout(&script).contains("webhook-secret"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let written = secateur().arg("man").arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let page = std::fs::read_to_string(folder.path().join("secateur-submit.1")).unwrap();
    assert!(page.contains("max\\-drop"), "{page}");
}
