//! `secateur backup` and `secateur restore`

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use reqwest::StatusCode;
use secateur::access::Scope;
use secateur::digest::Sha256;
use secateur::table::loose_blob;
use secateur_core::stage::Stage;
use serde_json::Value;

use super::serve::{Serving, serve};
use super::{folder, secateur, stderr, stdout};
use crate::harness::{Client, Hand, TestServer, count_files, eventually};

fn back_up(data: &Path, target: &Path) -> Output {
    secateur().arg("backup").arg(target).arg("--data-dir").arg(data).output().unwrap()
}

fn restore(file: &Path, data: &Path) -> Output {
    secateur().arg("restore").arg(file).arg("--data-dir").arg(data).output().unwrap()
}

#[track_caller]
fn worked(output: &Output) -> PathBuf {
    assert!(output.status.success(), "{}", stderr(output));
    PathBuf::from(stdout(output).trim())
}

/// Every artifact of a job, downloaded and compared with its digest.
async fn artifacts(client: &Client, id: &str) -> Vec<(String, String)> {
    let list = client.get(&format!("/v1/jobs/{id}/artifacts")).await.expect(StatusCode::OK);
    let mut found = Vec::new();
    for item in list["items"].as_array().unwrap() {
        let file = client.get(item["url"].as_str().unwrap()).await;
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(item["sha256"], Sha256::of(&file.body).to_string(), "{item}");
        found.push((item["name"].to_string(), item["sha256"].to_string()));
    }
    assert!(found.len() >= 5, "{found:?}");
    found
}

/// A job without what time changes.
fn essence(job: &Value) -> Value {
    serde_json::json!([job["id"], job["status"], job["stage"], job["spec"], job["result"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_beside_a_running_server_is_all_there_in_another_folder() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    let client = server.client();
    let finished = client.submit().await;
    let hand = Hand::of(&server);
    hand.finish_all().await;
    let model = client.upload_model().await;
    let running = client.submit().await;
    let graph = hand.claim_at(Stage::Graph).await;
    let (_, key) = server.make_key("default", Scope::Read).await;
    let client = client.with_key(&key);

    let place = tempfile::tempdir().unwrap();
    let file = worked(&back_up(&server.data_folder(), place.path()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(count_files(place.path()), 1, "nothing is left beside it");
    let before = artifacts(&client, &finished).await;
    let jobs = [&finished, &running].map(|id| format!("/v1/jobs/{id}"));
    let mut essences = Vec::new();
    for job in &jobs {
        essences.push(essence(&client.get(job).await.expect(StatusCode::OK)));
    }
    // The server it came from goes on.
    hand.finish(&graph).await;
    drop((hand, server));

    let folder = folder();
    let data = folder.path().join("restored");
    worked(&restore(&file, &data));
    let serving = Serving::start_by(serve(&data));
    let client = serving.client.with_key(&key);
    assert_eq!(artifacts(&client, &finished).await, before);
    for (job, before) in jobs.iter().zip(&essences) {
        assert_eq!(&essence(&client.get(job).await.expect(StatusCode::OK)), before);
    }
    assert_eq!(client.get(&format!("/v1/models/{model}")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_run_is_saved_too_and_an_older_backup_stays() {
    let mut server = TestServer::start_with_own_postgres(|_| {}).await;
    server.client().submit().await;
    server.stop().await;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("pears.tar");
    worked(&back_up(&server.data_folder(), &file));
    let again = back_up(&server.data_folder(), &file);
    assert!(!again.status.success() && stderr(&again).contains("is there already"), "{}", stderr(&again));
    server.restart().await;
    server.client().get("/readyz").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_refuses_a_folder_and_a_database_with_something_in_them() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    let place = tempfile::tempdir().unwrap();
    let file = worked(&back_up(&server.data_folder(), place.path()));
    let refused = restore(&file, &server.data_folder());
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("is not empty") && stderr(&refused).contains("hint: "), "{}", stderr(&refused));
    server.client().get("/readyz").await.expect(StatusCode::OK);

    let other = TestServer::start().await;
    let folder = folder();
    let data = folder.path().join("restored");
    let mut command = secateur();
    command.arg("restore").arg(&file).arg("--data-dir").arg(&data).arg("--database-url").arg(other.database_url());
    let refused = command.output().unwrap();
    assert!(stderr(&refused).contains("the database is not empty"), "{}", stderr(&refused));
    assert!(!data.exists(), "what a failed restore has written is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_backup_that_was_cut_off_nothing_is_restored() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    server.client().submit().await;
    let place = tempfile::tempdir().unwrap();
    let file = worked(&back_up(&server.data_folder(), place.path()));
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let folder = folder();
    let refused = restore(&file, folder.path());
    assert!(stderr(&refused).contains("no whole backup"), "{}", stderr(&refused));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder was there before and is empty again");
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_in_a_bucket_are_left_to_it_and_the_operator_is_told() {
    let server = TestServer::start_with_own_postgres(|_| {}).await;
    let id = server.client().submit().await;
    let place = tempfile::tempdir().unwrap();
    let mut command = secateur();
    command.arg("backup").arg(place.path()).arg("--data-dir").arg(server.data_folder());
    let output = command.args(["--blobs", "s3://bucket/prefix"]).output().unwrap();
    let file = worked(&output);
    assert!(stderr(&output).contains("0 blobs") && stderr(&output).contains("copy the bucket"), "{}", stderr(&output));

    let folder = folder();
    let data = folder.path().join("restored");
    let output = restore(&file, &data);
    worked(&output);
    assert!(stderr(&output).contains("s3://bucket/prefix"), "{}", stderr(&output));
    let serving = Serving::start_by(serve(&data));
    let job = serving.client.get(&format!("/v1/jobs/{id}")).await.expect(StatusCode::OK);
    assert_eq!(job["status"], "queued");
}

#[test]
fn no_server_starts_on_a_folder_whose_restore_was_not_finished() {
    let folder = folder();
    std::fs::write(folder.path().join("restore-unfinished"), "").unwrap();
    let refused = serve(folder.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("was not finished") && stderr(&refused).contains("restore the backup again"));
}

#[test]
fn a_folder_without_a_server_is_not_saved_and_not_made() {
    let folder = folder();
    let data = folder.path().join("missing");
    let refused = back_up(&data, folder.path());
    assert!(stderr(&refused).contains("there is no data folder"), "{}", stderr(&refused));
    assert!(!data.exists());
}

/// So that every row of the dump finds its blob.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_backup_is_made_nobody_frees_blobs_and_afterwards_they_go() {
    let server = TestServer::start_with(|options| options.upkeep_interval = Duration::from_millis(100)).await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    let outputs = server.data_folder().join("blobs/jobs");
    let before = count_files(&outputs);
    let mut backup = server.pool().acquire().await.unwrap().detach();
    loose_blob::hold_all(&mut backup).await.unwrap();
    assert_eq!(client.delete(&format!("/v1/jobs/{id}")).await.status, StatusCode::NO_CONTENT);
    client.get(&format!("/v1/jobs/{id}")).await.problem(404, "job_not_found");
    assert_eq!(count_files(&outputs), before);
    drop(backup);
    eventually("the blobs are freed", || async { (count_files(&outputs) == 0).then_some(()) }).await;
}
