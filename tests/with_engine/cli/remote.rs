//! `secateur submit --follow`: from a file to a smaller file, on a server.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::secateur_with_engine;
use crate::cli::{stderr, stdout};
use crate::harness::{TestServer, example};
use crate::with_engine::engine;

async fn submit(server: &TestServer, folder: &Path, more: &[&str]) -> Output {
    let mut command = secateur_with_engine();
    command
        .env("SECATEUR_URL", format!("http://{}", server.address()))
        .current_dir(folder)
        .arg("submit")
        .arg(example("vgg-digits.pt"))
        .args(["--method", "global_l2", "--follow"])
        .args(more);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_submitted_is_followed_fetched_and_judged_by_the_exit_code() {
    let server = TestServer::start_with(|options| {
        options.engine = Some(engine());
        options.slots = 1;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = example("digits.npz");
    let with_data =
        ["--data", data.to_str().unwrap(), "--mean", "4.9", "--std", "6.0", "--epochs", "1", "--flops", "0.5"];

    let more = ["-o", "small.pt", "--report", "report.json", "--max-drop", "100", "--label", "team=vision"];
    let output = submit(&server, folder.path(), &[&with_data[..], &more].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("MACs"), "{}", stdout(&output));
    assert!(stderr(&output).contains("verify: done"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let bytes = std::fs::metadata(folder.path().join("small.pt")).unwrap().len();
    assert_eq!(report["pruned"]["bytes"], bytes);
    let labels: Value =
        sqlx::query_scalar("select labels from job where kind = 'prune'").fetch_one(server.pool()).await.unwrap();
    assert_eq!(labels, serde_json::json!({"team": "vision"}));

    // It would have to get better by more than there is.
    let more = ["-o", "other.pt", "--json", "--max-drop=-100"];
    let output = submit(&server, folder.path(), &[&with_data[..], &more].concat()).await;
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let printed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(printed["winner"], report["winner"]);
    assert!(stderr(&output).starts_with(printed["job_id"].as_str().unwrap()), "{}", stderr(&output));
    assert!(stderr(&output).contains("points"), "{}", stderr(&output));

    let unreachable = ["--channels", "0.999", "--input-shape", "1,8,8", "--no-fine-tune"];
    let output = submit(&server, folder.path(), &unreachable).await;
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("target_unreachable"), "{}", stderr(&output));
    assert!(!folder.path().join("vgg-digits-pruned.pt").exists());
}
