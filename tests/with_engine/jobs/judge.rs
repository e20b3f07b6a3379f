//! A job that waits for its judge, with the real engine.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{quick_spec, server_with, submit, wait_for_end, wait_for_stage};
use crate::with_engine::engine;

/// The judge wants the network that our own metric likes least, and gets the very file that it tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_judge_tries_every_finalist_and_gets_the_file_that_it_chose() {
    let server = server_with(engine()).await;
    let client = server.client();
    let spec = json!({
        "target": {"flops_reduction": 0.5},
        "input": {"mean": 4.9, "std": 6.0},
        "encoder": {"configs": 128, "epochs": 1},
        "search": {"candidates": 20_000, "top_m": 6, "top_k": 2},
        "fine_tune": {"epochs": 1, "light_epochs": 0, "batch_size": 256},
        "judge": {"timeout_s": 3600, "name": "whim"}
    });
    let path = submit(&client, "vgg-digits.pt", &spec).await;
    wait_for_stage(&client, &path, "judge").await;
    // The only slot is free for others.
    let other = submit(&client, "vgg-digits.pt", &quick_spec(1)).await;
    assert_eq!(wait_for_end(&client, &other).await["status"], "succeeded");

    let judgements = client.get(&format!("{path}/judgements")).await.expect(StatusCode::OK);
    let finalists = judgements["finalists"].as_array().unwrap();
    assert!(finalists.len() >= 2, "{judgements}");
    let mut files = Vec::new();
    for (rank, finalist) in finalists.iter().enumerate() {
        let file = client.get(finalist["url"].as_str().unwrap()).await;
        assert_eq!(file.status, StatusCode::OK);
        let uploaded = client.upload("/v1/models?input_shape=1,8,8", file.body.clone()).await;
        let uploaded = uploaded.expect(StatusCode::CREATED);
        let summary = client.inspected(&uploaded).await["summary"].clone();
        assert_eq!(summary["base"]["macs"], finalist["macs"], "libtorch runs the finalist: {summary}");
        let body = json!({"candidate": finalist["candidate"], "score": rank});
        client.post_json(&format!("{path}/judgements"), &body).await.expect(StatusCode::OK);
        files.push(file.body);
    }
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let chosen = finalists.last().unwrap();
    assert_eq!(job["best"]["candidate"], chosen["candidate"]);
    let model = client.get(&format!("{path}/artifacts/model.pt")).await;
    assert!(model.body == files[files.len() - 1], "what was judged is what is delivered, byte for byte");

    let report = client.get(&format!("{path}/artifacts/report.json")).await.expect(StatusCode::OK);
    let judge = &report["judge"];
    assert_eq!((&judge["name"], &judge["higher_is_better"]), (&"whim".into(), &true.into()));
    assert_eq!((&judge["decided_by"], judge.get("reason")), (&"judge".into(), None));
    let scores: Vec<Value> = finalists
        .iter()
        .enumerate()
        .map(|(rank, finalist)| json!({"candidate": finalist["candidate"], "score": rank as f64}))
        .collect();
    assert_eq!(judge["scores"], json!(scores));
    assert_eq!(report["winner"], chosen["origin"]);
}
