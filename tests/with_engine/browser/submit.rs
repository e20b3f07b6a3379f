//! Jobs that are submitted on the page.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::json;

use super::{bytes, server_and_tab, shown_job, status, submit_long, url, wait_for_end};
use crate::harness::Client;

#[tokio::test(flavor = "multi_thread")]
async fn files_are_dropped_and_the_job_is_watched_to_its_end() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    tab.go(&url(&server, "/submit")).await;
    tab.drop_file("#model-drop", "small network.pt", &bytes("vgg-digits.pt")).await;
    // The file does not tell the shape of its input; the data set does, so that the model is inspected as soon as both are there.
    tab.until("document.querySelector('#model-told')?.innerText.includes('a data set does')").await;
    tab.drop_file("#dataset-drop", "digits.npz", &bytes("digits.npz")).await;
    tab.until("document.querySelector('#dataset-told')?.innerText.includes('10 classes')").await;
    tab.until("document.querySelector('#model-told').innerText.includes('2.06\\u00a0M MACs')").await;
    tab.fill("#field-name", "from the page").await;
    tab.choose("#field-method", "sacp").await;
    tab.choose("#field-preset", "quick").await;
    tab.fill("#field-input-mean", "4.9").await;
    tab.fill("#field-input-std", "6").await;
    tab.fill("#field-target", "60").await;
    tab.value("document.querySelector('#field-fine_tune').closest('details').open = true").await;
    tab.fill("#field-fine_tune-epochs", "2").await;
    tab.value("document.querySelector('#field-search').closest('details').open = true").await;
    tab.fill("#field-search-top_m", "6").await;
    tab.press("Submit the job").await;

    let job = shown_job(&mut tab).await;
    tab.until_it_says("from the page").await;
    tab.until("document.querySelectorAll('.timeline li').length >= 3").await;
    wait_for_end(&server.client(), &job).await;
    tab.until("document.querySelector('.badge')?.innerText === 'succeeded'").await;
    tab.until("document.querySelectorAll('.tile').length === 5 && document.querySelectorAll('.point').length > 3")
        .await;
    tab.until("[...document.querySelectorAll('.downloads strong')].some((name) => name.innerText === 'model.pt')")
        .await;
    let answer = server.client().get(&format!("/v1/jobs/{job}")).await.expect(StatusCode::OK);
    assert_eq!(answer["spec"]["fine_tune"]["epochs"], 2, "{answer}");
    assert_eq!(answer["spec"]["target"], json!({"flops_reduction": 0.6}));

    // Curves came over the stream, whole, and a candidate tells its widths.
    let tuned = "[...document.querySelectorAll('.curve svg')].map((chart) => chart.ariaLabel)
        .find((label) => label.startsWith('Tune: training loss over epoch'))";
    let label = tab.until(tuned).await;
    let epochs = epochs_of_tune(&server.client(), &job).await;
    assert!(!epochs.is_empty() && epochs.values().all(|epochs| epochs[..] == [1, 2]), "{epochs:?}");
    assert!(label.as_str().unwrap().contains(&format!(": {} points ", 2 * epochs.len().min(5))), "{label}, {epochs:?}");
    tab.value("document.querySelector('.point').dispatchEvent(new MouseEvent('click', {bubbles: true}))").await;
    tab.until("document.querySelectorAll('.group-widths li').length === 7").await;
    let page =
        tab.value("[...document.querySelectorAll('.group-widths .number')].map((width) => width.innerText)").await;
    let candidates = server.client().get(&format!("/v1/jobs/{job}/candidates")).await.expect(StatusCode::OK);
    let widths = candidates["items"].as_array().unwrap().iter().map(|candidate| candidate["widths"].clone());
    let shown = |widths: &serde_json::Value| {
        let widths = widths.as_array().unwrap().iter().zip(page.as_array().unwrap());
        widths.clone().all(|(width, text)| text.as_str().unwrap().starts_with(&format!("{width} of")))
    };
    assert!(widths.into_iter().any(|widths| shown(&widths)), "{page}");
    assert_eq!(tab.complaints(), [] as [String; 0]);
}

/// The epochs that the events tell, by finalist.
async fn epochs_of_tune(client: &Client, job: &str) -> BTreeMap<u64, Vec<u64>> {
    let mut epochs = BTreeMap::<u64, Vec<u64>>::new();
    let events = client.get(&format!("/v1/jobs/{job}/events?limit=200")).await.expect(StatusCode::OK);
    let items = events["items"].as_array().unwrap();
    assert!(items.len() < 200, "all events are on one page");
    let of_tune = items.iter().filter(|event| event["data"]["stage"] == "tune");
    for reading in of_tune.flat_map(|event| event["data"]["readings"].as_array().into_iter().flatten()) {
        let number = |name: &str| reading[name].as_u64().unwrap();
        epochs.entry(number("candidate")).or_default().push(number("step"));
    }
    epochs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_in_words_at_its_place_and_a_bad_value_at_its_field() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    tab.go(&url(&server, "/submit")).await;
    tab.drop_file("#model-drop", "picture.pt", b"this is no archive").await;
    tab.until("document.querySelector('#model-problem').innerText.length > 20").await;
    assert_eq!(tab.value("document.querySelector('#model').getAttribute('aria-invalid')").await, "true");

    // Without a model nothing is sent.
    tab.press("Submit the job").await;
    tab.until("document.querySelector('#field-model_id').innerText.includes('needs a model')").await;

    tab.drop_file("#model-drop", "network.pt", &bytes("vgg-digits.pt")).await;
    tab.until("document.querySelector('#model-told')").await;
    tab.value("document.querySelector('#field-search').closest('details').open = true").await;
    tab.fill("#field-search-top_k", "0").await;
    tab.press("Submit the job").await;
    tab.until("document.querySelector('#field-search-top_k-problem').innerText.includes('out of range')").await;
    tab.until("document.activeElement.id === 'field-search-top_k'").await;

    // What is no number is not sent at all.
    tab.fill("#field-search-top_k", "many").await;
    tab.press("Submit the job").await;
    tab.until("document.querySelector('#field-search-top_k-problem').innerText.includes('is no number')").await;
    let jobs = server.client().get("/v1/jobs").await.expect(StatusCode::OK);
    assert_eq!(jobs["items"], json!([]));
    assert_eq!(tab.complaints(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_keeps_what_is_not_changed() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let client = server.client();
    let first = submit_long(&client, &json!({"name": "first", "seed": 7, "labels": {"team": "vision"}})).await;
    tab.go(&url(&server, &format!("/jobs/{first}"))).await;
    tab.press("Clone with changes").await;
    tab.until_it_says("Clone of first").await;
    tab.fill("#field-target", "70").await;
    tab.fill("#field-name", "second").await;
    tab.press("Submit the job").await;
    tab.until(&format!("location.pathname.startsWith('/jobs/') && location.pathname !== '/jobs/{first}'")).await;
    let second = shown_job(&mut tab).await;
    let job = client.get(&format!("/v1/jobs/{second}")).await.expect(StatusCode::OK);
    assert_eq!((&job["clone_of"], &job["name"]), (&json!(first), &json!("second")), "{job}");
    assert_eq!(job["spec"]["target"], json!({"flops_reduction": 0.7}));
    assert_eq!((&job["spec"]["seed"], &job["spec"]["fine_tune"]["epochs"]), (&json!(7), &json!(60)));
    assert_eq!(job["labels"], json!({"team": "vision"}));
    assert!(job["dataset_id"].is_string(), "{job}");
    tab.until("[...document.querySelectorAll('.facts a')].some((link) => link.pathname.startsWith('/jobs/'))").await;
    for job in [first, second] {
        client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
        assert_eq!(status(&client, &job).await, "cancelled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_is_listed_and_deleted_once_no_job_needs_it() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let client = server.client();
    let job = submit_long(&client, &json!({})).await;
    tab.go(&url(&server, "/datasets")).await;
    tab.until("document.querySelector('tbody tr')?.innerText.includes('10 classes')").await;
    tab.until_it_says("digits.npz").await;

    // The reason is the server's, and the data set stays.
    tab.press("Delete").await;
    tab.press("Delete it").await;
    tab.until_it_says("That did not work").await;
    tab.until(&format!("document.querySelector('dialog').innerText.includes({})", json!(job))).await;
    tab.press("I see").await;
    assert_eq!(tab.value("document.querySelectorAll('tbody tr').length").await, 1);

    client.post(&format!("/v1/jobs/{job}/cancel")).await.expect(StatusCode::OK);
    assert_eq!(status(&client, &job).await, "cancelled");
    tab.press("Delete").await;
    tab.press("Delete it").await;
    tab.until_it_says("No data sets yet").await;
    assert_eq!(client.get("/v1/datasets").await.expect(StatusCode::OK)["items"], json!([]));
}
