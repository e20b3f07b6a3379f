//! `secateur sweep`

use std::path::Path;
use std::process::Output;

use reqwest::StatusCode;

use super::{secateur, stderr, stdout};
use crate::harness::{Hand, TestServer, eventually};

fn sweep(data: &Path, older_than: &str) -> Output {
    secateur().args(["sweep", "--older-than", older_than, "--data-dir"]).arg(data).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_without_rows_are_freed_and_rows_without_blobs_are_named() {
    let server = TestServer::start_with_own_postgres(|options| {
        options.upkeep_interval = std::time::Duration::from_millis(50);
    })
    .await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    let data = server.data_folder();
    let sound = sweep(&data, "0");
    assert!(sound.status.success(), "{}", stderr(&sound));
    assert!(stdout(&sound).contains("blobs, 0 that no row refers to"), "{}", stdout(&sound));

    let orphan = data.join(format!("blobs/jobs/{id}/search/0/7/candidates.json"));
    std::fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    std::fs::write(&orphan, b"of an attempt that nobody knows").unwrap();
    let young = sweep(&data, "24");
    assert!(stdout(&young).contains("blobs, 0 that no row refers to"), "{}", stdout(&young));
    let swept = sweep(&data, "0");
    assert!(stdout(&swept).contains("blobs, 1 that no row refers to"), "{}", stdout(&swept));
    eventually("the orphan is freed", || async { (!orphan.exists()).then_some(()) }).await;

    let lost = format!("jobs/{id}/verify/0/1/report.json");
    std::fs::remove_file(data.join("blobs").join(&lost)).unwrap();
    let swept = sweep(&data, "0");
    assert_eq!(swept.status.code(), Some(1));
    assert_eq!(stdout(&swept).lines().nth(1), Some(format!("lost: artifact {lost}").as_str()));
    assert!(stderr(&swept).contains("1 rows refer to blobs that are not there"), "{}", stderr(&swept));
    client.get(&format!("/v1/jobs/{id}/artifacts/model.pt")).await.status.is_success().then_some(()).unwrap();
    assert_ne!(client.get(&format!("/v1/jobs/{id}/artifacts/report.json")).await.status, StatusCode::OK);
}
