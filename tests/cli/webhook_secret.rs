//! `secateur webhook-secret`

use std::process::Output;

use super::{secateur, stderr, stdout};
use crate::harness::TestServer;

fn webhook_secret(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = secateur();
    command.arg("webhook-secret").args(arguments).args(["--database-url", &server.database_url()]);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_made_listed_and_deleted_beside_a_running_server() {
    let server = TestServer::start().await;
    let made = webhook_secret(&server, &["create", "--tenant", "vision", "--grace", "1"]);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).starts_with("whsec_") && stdout(&made).lines().count() == 1, "{}", stdout(&made));
    let id = stderr(&made).split(':').next().unwrap().to_owned();
    assert!(id.starts_with("whs_"), "{id}");
    assert!(webhook_secret(&server, &["create", "--tenant", "vision"]).status.success());

    let listed = stdout(&webhook_secret(&server, &["list"]));
    let line = listed.lines().find(|line| line.contains(&id)).unwrap();
    assert!(line.contains("vision") && line.contains("signs until "), "{listed}");
    assert!(!listed.contains(stdout(&made).trim()), "the secret itself is not shown again");
    assert!(!stdout(&webhook_secret(&server, &["list", "--tenant", "default"])).contains(&id));

    assert!(webhook_secret(&server, &["delete", &id]).status.success());
    assert!(!stdout(&webhook_secret(&server, &["list"])).contains(&id));
    let again = webhook_secret(&server, &["delete", &id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("there is no webhook secret") && stderr(&again).contains("hint: "));
    assert_eq!(webhook_secret(&server, &["create", "--grace", "721"]).status.code(), Some(2));
}
