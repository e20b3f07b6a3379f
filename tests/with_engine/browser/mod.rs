//! The dashboard in a real browser, before a real server with a real engine. `SECATEUR_CHROMIUM` names the browser and `SECATEUR_AXE` the
//! script of axe-core; `make test-browser` sets both.

mod access;
mod follow;
mod submit;
mod time;
mod view;

use reqwest::StatusCode;
use secateur::server::ServerOptions;
use serde_json::{Value, json};

use crate::harness::{Chromium, Client, Tab, TestServer, example, file_part, form};
use crate::with_engine::engine;

/// A port that is free now, for a server that is restarted and has to be found again.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server with one slot, which can be restarted at its address, and a browser with an empty tab.
async fn server_and_tab() -> (TestServer, Chromium, Tab) {
    server_and_tab_with(|_| {}).await
}

async fn server_and_tab_with(change: impl FnOnce(&mut ServerOptions)) -> (TestServer, Chromium, Tab) {
    let server = TestServer::start_with(|options| {
        options.listen = ([127, 0, 0, 1], free_port()).into();
        options.engine = Some(engine());
        options.slots = 1;
        options.task_timeout = std::time::Duration::from_mins(5);
        change(options);
    })
    .await;
    let (chromium, mut tab) = Chromium::with_tab().await;
    tab.look(1280, 900, "light").await;
    (server, chromium, tab)
}

fn url(server: &TestServer, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

/// A job on the digits whose fine-tuning takes some seconds an epoch, so that a test can step in.
async fn submit_long(client: &Client, more: &Value) -> String {
    let mut spec = json!({
        "target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": 4.9, "std": 6.0},
        "fine_tune": {"epochs": 60, "batch_size": 128}
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let form = form(&spec).part("dataset", file_part("digits.npz"));
    let job = client.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
    job["id"].as_str().unwrap().to_owned()
}

/// Waits for the end of a job, however long it takes.
async fn wait_for_end(client: &Client, job: &str) {
    while !["succeeded", "failed", "cancelled"].contains(&status_within(client, job, 30).await.as_str()) {}
}

async fn status_within(client: &Client, job: &str, seconds: u32) -> String {
    let job = client.get(&format!("/v1/jobs/{job}?wait={seconds}")).await.expect(StatusCode::OK);
    job["status"].as_str().unwrap().to_owned()
}

async fn status(client: &Client, job: &str) -> String {
    status_within(client, job, 0).await
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(example(name)).unwrap()
}

/// The id of the job that the page shows.
async fn shown_job(tab: &mut Tab) -> String {
    let path = tab.until("/^\\/jobs\\/job_/.test(location.pathname) && location.pathname").await;
    path.as_str().unwrap().trim_start_matches("/jobs/").to_owned()
}

/// Nothing that people need is missing or broken, by axe-core.
async fn assert_accessible(tab: &mut Tab, what: &str) {
    let script = std::env::var_os("SECATEUR_AXE").expect("SECATEUR_AXE is set, as `make test-browser` does");
    let script = std::fs::read_to_string(script).unwrap();
    tab.value(&format!("{script}; true")).await;
    let found = tab
        .value(
            "axe.run().then(({violations}) => violations
                 .filter(({impact}) => impact === 'serious' || impact === 'critical' || impact === 'moderate')
                 .map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(' ')}`))",
        )
        .await;
    assert_eq!(found, json!([]), "{what}");
}
