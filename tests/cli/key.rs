//! `secateur key`, and a server that strangers could reach.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};

use super::{folder, secateur, stderr, stdout};
use crate::harness::{Client, TestServer, copy_cluster_to};

fn key(data: &Path, arguments: &[&str]) -> Output {
    secateur().arg("key").args(arguments).arg("--data-dir").arg(data).output().unwrap()
}

fn serve(data: &Path, arguments: &[&str]) -> Command {
    let mut command = secateur();
    command.args(["serve", "--slots", "0", "--reserve-bytes", "0"]).args(arguments).arg("--data-dir").arg(data);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_listed_and_revoked_beside_a_running_server() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    let data = server.data_folder();
    let made = key(&data, &["create", "--name", "ci", "--scope", "read", "--tenant", "vision", "--expires-in", "30"]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stderr(&made).contains("first key"), "{}", stderr(&made));
    let client = server.client().with_key(stdout(&made).trim());
    let session = client.get("/v1/session").await.expect(StatusCode::OK);
    assert_eq!((&session["tenant"], &session["scope"]), (&"vision".into(), &"read".into()));
    server.client().get("/v1/jobs").await.problem(401, "unauthenticated");

    let listed = stdout(&key(&data, &["list"]));
    let id = session["key_id"].as_str().unwrap();
    assert!(listed.contains(id) && listed.contains("vision") && listed.contains("until "), "{listed}");
    assert!(!stdout(&key(&data, &["list", "--tenant", "default"])).contains(id));

    assert!(key(&data, &["revoke", id]).status.success());
    client.get("/v1/jobs").await.problem(401, "unauthenticated");
    let unknown = key(&data, &["revoke", &secateur::id::KeyId::generate().to_string()]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("there is no key") && stderr(&unknown).contains("hint: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_strangers_could_reach_does_not_start_without_a_key() {
    let folder = folder();
    let data = folder.path().join("data");
    copy_cluster_to(&data).await;
    for reachable in [
        ["--listen", "0.0.0.0:0"].as_slice(),
        &["--listen", "127.0.0.1:0", "--host", "pruner.example"],
        &["--listen", "127.0.0.1:0", "--public-url", "https://pruner.example"],
    ] {
        let refused = serve(&data, reachable).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{reachable:?}");
        let said = stderr(&refused);
        assert!(said.contains("hint: ") && said.contains("key create") && said.contains("--allow-anonymous"), "{said}");
    }

    let made = key(&data, &["create", "--name", "first"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let mut serving = serve(&data, &["--listen", "127.0.0.1:0", "--host", "pruner.example"]);
    let mut serving = serving.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let client = Client::new(line.trim().to_owned());
    let with_key = client.with_key(stdout(&made).trim()).get("/v1/jobs").await.status;
    // The last key goes, and the server stays closed: somebody else than this machine can mean it.
    let id = stderr(&made).split(':').next().unwrap().to_owned();
    let revoked = key(&data, &["revoke", &id]).status.success();
    let without = client.get("/v1/jobs").await.status;
    kill_process(Pid::from_child(&serving), Signal::TERM).unwrap();
    assert_eq!(serving.wait().unwrap().code(), Some(0));
    assert_eq!((with_key, revoked, without), (StatusCode::OK, true, StatusCode::UNAUTHORIZED));
}

#[test]
fn what_a_key_cannot_be_is_wrong_usage() {
    for arguments in [
        ["--name", ""].as_slice(),
        &["--name", "a", "--scope", "root"],
        &["--name", "a", "--tenant", "A/b"],
        &["--name", "a", "--expires-in", "0"],
    ] {
        let output = secateur().args(["key", "create"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("must be"), "{}", stderr(&output));
    }
}
