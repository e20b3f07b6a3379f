//! How soon something is seen, and how much is loaded for it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{server_and_tab_with, url};
use crate::harness::Tab;

/// Bytes of the scripts of a page, as they are before compression.
const SCRIPT_BUDGET: u64 = 200_000;
const FIRST_PAINT_MS: f64 = 1000.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_are_painted_within_a_second_and_scripts_keep_their_budget() {
    let (server, _chromium, mut tab) = server_and_tab_with(|options| options.slots = 0).await;
    let client = server.client();
    let oldest = client.submit().await;
    let copy = "insert into job (id, tenant, kind, name, stage, spec, labels, model_id, dataset_id, request_sha256)
                select gen_random_uuid(), tenant, kind, 'job ' || number, stage, spec, '{\"team\": \"vision\"}', model_id, dataset_id, request_sha256
                from job cross join generate_series(1, 999) as number where job.name is null";
    sqlx::query(copy).execute(server.pool()).await.unwrap();

    // The first visit fetches and compiles; a page that people wait for is loaded into a browser that runs.
    tab.go(&url(&server, "/")).await;
    tab.until("document.querySelectorAll('table.jobs tbody tr').length === 50").await;
    let first = scripts(&mut tab).await;
    assert!(first > 0 && first < SCRIPT_BUDGET, "{first} bytes of script");
    tab.call("Page.reload", json!({})).await;
    tab.until("performance.now() > 200 && document.querySelectorAll('table.jobs tbody tr').length === 50").await;
    let paint = tab.value("performance.getEntriesByName('first-contentful-paint')[0]?.startTime").await;
    let paint = paint.as_f64().unwrap();
    assert!(paint < FIRST_PAINT_MS, "painted after {paint} ms");

    // Every job is found by paging, the oldest last.
    let mut pages = 1;
    while tab.value("document.querySelector('[rel=next]') !== null").await == Value::Bool(true) {
        let shown = tab.value("document.querySelector('table.jobs .job-name').pathname").await;
        tab.press("Older jobs").await;
        tab.until(&format!(
            "![null, undefined, {shown}].includes(document.querySelector('table.jobs .job-name')?.pathname)"
        ))
        .await;
        pages += 1;
    }
    assert_eq!(pages, 20);
    client.get(&format!("/v1/jobs/{oldest}")).await.expect(StatusCode::OK);

    // The page with the most scripts.
    tab.go(&url(&server, "/submit")).await;
    tab.until("document.querySelector('#model-drop')").await;
    let most = scripts(&mut tab).await;
    assert!(most > first && most < SCRIPT_BUDGET, "{most} bytes of script");

    tab.go(&url(&server, "/?label=team:vision&status=queued")).await;
    tab.until("document.querySelectorAll('table.jobs tbody tr').length === 50").await;
    tab.go(&url(&server, "/?status=failed")).await;
    tab.until_it_says("No job fits these filters").await;
}

/// Bytes of script that were loaded for the page.
async fn scripts(tab: &mut Tab) -> u64 {
    let scripts = tab
        .value(
            "performance.getEntriesByType('resource').filter(({name}) => name.endsWith('.js'))
                 .reduce((sum, {decodedBodySize}) => sum + decodedBodySize, 0)",
        )
        .await;
    scripts.as_u64().unwrap()
}
