//! `secateur doctor`

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::{folder, secateur, stderr, stdout};
use crate::harness::TestServer;

fn doctor(data: &Path, arguments: &[&str]) -> Output {
    let mut command = secateur();
    command.args(["doctor", "--slots", "0", "--reserve-bytes", "0"]).args(arguments).arg("--data-dir").arg(data);
    command.output().unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let report: Value =
        serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)));
    report["findings"].as_array().unwrap().clone()
}

/// What was found of one thing.
fn finding(output: &Output, about: &str) -> Value {
    let findings = findings(output);
    findings
        .iter()
        .find(|finding| finding["about"] == about)
        .cloned()
        .unwrap_or_else(|| panic!("{about}: {findings:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_server_it_reaches_the_database_and_writes_a_blob() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    let data = server.data_folder();
    let output = doctor(&data, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    for about in ["database", "schema", "clock", "blobs", "postgres programs", "engine"] {
        assert_eq!(finding(&output, about)["verdict"], "ok", "{about}: {}", stdout(&output));
    }
    assert!(finding(&output, "database")["says"].as_str().unwrap().contains("PostgreSQL"));
    let left = std::fs::read_dir(data.join("blobs/probe")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "its blob is gone");
    server.client().get("/readyz").await.expect(reqwest::StatusCode::OK);
}

#[test]
fn where_no_server_runs_it_starts_none_and_makes_nothing() {
    let folder = folder();
    let data = folder.path().join("data");
    let output = doctor(&data, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(finding(&output, "database")["says"].as_str().unwrap().contains("no server runs"));
    assert!(!data.exists());
}

#[test]
fn each_line_says_how_bad_it_is_and_what_to_do_and_a_problem_fails_the_command() {
    let folder = folder();
    let data = folder.path().join("data");
    let engine = folder.path().join("no-engine");
    let mut command = secateur();
    command.args(["doctor", "--slots", "1", "--engine"]).arg(&engine).arg("--data-dir").arg(&data);
    let output = command.args(["--reserve-bytes", &u64::MAX.to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    let line =
        |about: &str| said.lines().find(|line| line.contains(about)).unwrap_or_else(|| panic!("{about}: {said}"));
    assert!(line("engine ").starts_with("problem") && said.contains("cargo build --bins"), "{said}");
    assert!(line("data folder").starts_with("problem") && said.contains("--reserve-bytes"), "{said}");
    assert!(stderr(&output).contains("2 problems"), "{}", stderr(&output));
}

#[test]
fn a_database_that_does_not_answer_is_a_problem_with_the_reason() {
    let folder = folder();
    // Nobody listens on port 1.
    let output =
        doctor(&folder.path().join("data"), &["--json", "--database-url", "postgres://me:secret@127.0.0.1:1/pears"]);
    assert_eq!(output.status.code(), Some(1));
    let found = finding(&output, "database");
    assert_eq!(found["verdict"], "problem");
    assert!(found["hint"].as_str().unwrap().contains("DATABASE_URL"));
    assert!(!stdout(&output).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_lacks_a_migration_is_a_warning() {
    let server = TestServer::start().await;
    let newest = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(newest).execute(server.pool()).await.unwrap();
    let output = doctor(&server.data_folder(), &["--json", "--database-url", &server.database_url()]);
    assert_eq!(finding(&output, "schema")["verdict"], "warning");
    assert_eq!(output.status.code(), Some(0), "a warning is no problem");
}
