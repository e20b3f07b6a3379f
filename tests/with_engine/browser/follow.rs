//! Jobs that are watched and steered on the page, whatever happens to the page, to the stream and to the server.

use reqwest::StatusCode;
use serde_json::json;

use super::{assert_accessible, server_and_tab, status, submit_long, url, wait_for_end};
use crate::harness::Tab;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_resumed_and_cancelled() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let client = server.client();
    let job = submit_long(&client, &json!({})).await;
    tab.go(&url(&server, &format!("/jobs/{job}"))).await;
    tab.until("document.querySelector('.badge')?.innerText === 'running'").await;
    tab.press("Pause").await;
    tab.until("document.querySelector('.badge')?.innerText === 'paused'").await;
    tab.press("Resume").await;
    tab.until("document.querySelector('.badge')?.innerText === 'running'").await;

    tab.press("Cancel").await;
    tab.press("Let it run").await;
    tab.until("!document.querySelector('dialog')").await;
    assert_eq!(status(&client, &job).await, "running");
    tab.press("Cancel").await;
    tab.press("Cancel the job").await;
    tab.until("document.querySelector('.badge')?.innerText === 'cancelled'").await;
    assert_eq!(status(&client, &job).await, "cancelled");
    assert_eq!(tab.complaints(), [] as [String; 0]);

    tab.press("Delete").await;
    tab.press("Delete it").await;
    tab.until("location.pathname === '/' && document.body.innerText.includes('No jobs yet')").await;
    client.get(&format!("/v1/jobs/{job}")).await.problem(404, "job_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_loaded_again_in_the_middle_tells_all_from_the_beginning() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let job = submit_long(&server.client(), &json!({})).await;
    tab.go(&url(&server, &format!("/jobs/{job}"))).await;
    let stages = "[...document.querySelectorAll('.timeline strong')].map((name) => name.innerText.toLowerCase())";
    tab.until(&format!("{stages}.includes('tune') && document.querySelector('.curve path')")).await;
    let before = tab.value(stages).await;
    tab.call("Page.reload", json!({})).await;
    tab.until(&format!("{stages}.includes('tune') && document.querySelector('.curve path')")).await;
    let after = tab.value(stages).await;
    let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
    assert_eq!(before[..], after[..before.len()]);
    assert_eq!(after[0], "import");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_is_told_and_survived() {
    let (mut server, _chromium, mut tab) = server_and_tab().await;
    let job = submit_long(&server.client(), &json!({"fine_tune": {"epochs": 15, "batch_size": 128}})).await;
    tab.go(&url(&server, &format!("/jobs/{job}"))).await;
    tab.until("[...document.querySelectorAll('.timeline strong')].some((name) => name.innerText === 'Tune')").await;
    server.stop().await;
    tab.until_it_says("Live updates broke off").await;
    server.restart().await;
    tab.until("!document.body.innerText.includes('Live updates broke off')").await;
    wait_for_end(&server.client(), &job).await;
    tab.until("document.querySelector('.badge')?.innerText === 'succeeded'").await;
    tab.until("document.querySelectorAll('.tile').length === 5").await;
    // Each stage is told once, also those whose events came before the restart.
    let stages = tab.value("[...document.querySelectorAll('.timeline strong')].map((name) => name.innerText)").await;
    let mut names: Vec<&str> = stages.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let told = names.len();
    names.dedup();
    assert_eq!(names.len(), told);
    assert!(names.contains(&"Import") && names.contains(&"Verify"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_why() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let spec = json!({"constraints": {"max_layer_reduction": 0.1}, "target": {"flops_reduction": 0.9}});
    let job = submit_long(&server.client(), &spec).await;
    tab.go(&url(&server, &format!("/jobs/{job}"))).await;
    tab.until("document.querySelector('.badge')?.innerText === 'failed'").await;
    let told = tab.until("document.querySelector('.problem')?.innerText").await;
    let answer = server.client().get(&format!("/v1/jobs/{job}")).await.expect(StatusCode::OK);
    assert!(told.as_str().unwrap().contains(answer["error"]["title"].as_str().unwrap()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_judges_the_finalists_on_the_page() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let client = server.client();
    let judged = json!({
        "method": "sacp", "preset": "quick", "search": {"top_m": 6, "top_k": 2}, "fine_tune": {"epochs": 1},
        "judge": {"timeout_s": 600, "name": "word_errors", "higher_is_better": false}
    });
    let job = submit_long(&client, &judged).await;
    tab.go(&url(&server, &format!("/jobs/{job}"))).await;
    tab.until_it_says("smallest word errors is exported").await;
    let asked = client.get(&format!("/v1/jobs/{job}/judgements")).await.expect(StatusCode::OK);
    let finalists: Vec<u64> =
        asked["finalists"].as_array().unwrap().iter().map(|finalist| finalist["candidate"].as_u64().unwrap()).collect();
    assert!(finalists.len() > 1, "{asked}");
    let link = "[...document.querySelectorAll('a[download]')].filter(({href}) => href.includes('finalist')).length";
    assert_eq!(tab.value(link).await, finalists.len());
    assert_accessible(&mut tab, "a job that is judged").await;

    // The one that the job itself likes least is the best for the judge. What is no number is not sent.
    let give = async |tab: &mut Tab, candidate: u64, score: &str| {
        tab.fill(&format!("#score-{candidate}"), score).await;
        tab.click(&format!("[aria-label='Give candidate {candidate} this score']")).await;
    };
    give(&mut tab, finalists[0], "").await;
    assert_eq!(tab.value("document.activeElement.id").await, format!("score-{}", finalists[0]));
    let judgements = client.get(&format!("/v1/jobs/{job}/judgements")).await.expect(StatusCode::OK);
    assert_eq!(judgements["finalists"][0]["score"], json!(null));
    for (place, &candidate) in finalists.iter().enumerate() {
        give(&mut tab, candidate, &format!("{}.5", 10 - place)).await;
        let told =
            format!("document.getElementById('announcer').innerText.includes('Candidate {candidate} has the score')");
        tab.until(&told).await;
    }
    let winner = finalists[finalists.len() - 1];
    tab.until_it_says(&format!("Candidate {winner} was chosen by the judge")).await;
    wait_for_end(&client, &job).await;
    let report = client.get(&format!("/v1/jobs/{job}/artifacts/report.json")).await.expect(StatusCode::OK);
    assert_eq!(report["judge"]["decided_by"], "judge", "{}", report["judge"]);
    let scores = report["judge"]["scores"].as_array().unwrap();
    assert_eq!(scores.len(), finalists.len());
    assert_eq!(tab.complaints(), [] as [String; 0]);
}
