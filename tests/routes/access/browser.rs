//! What a page of somebody else can do through a real browser: with the guard nothing, without it everything that the
//! browser does not keep from it by itself. The same attacks run both times, so they are known to be attacks.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Attacker, Chromium, Client, EVIL, Relay, TestServer};

/// Where the attacker's page is, seen from our server.
#[derive(Clone, Copy)]
enum Page {
    /// Another port of the same host.
    SameSite,
    /// Another host.
    CrossSite,
    /// A name that leads to our server once the page is loaded.
    Rebinding,
}

/// What an attack left behind.
#[derive(Debug, PartialEq, Eq)]
struct Damage {
    submitted: usize,
    cancelled: bool,
    deleted: bool,
    read: bool,
}

const NONE: Damage = Damage { submitted: 0, cancelled: false, deleted: false, read: false };
/// The browser keeps deletions and answers from pages of other origins, as long as nobody allows them.
const BLIND: Damage = Damage { submitted: 2, cancelled: true, deleted: false, read: false };
const FULL: Damage = Damage { submitted: 2, cancelled: true, deleted: true, read: true };

async fn attack(page: Page, unguarded: bool) -> Damage {
    let server = TestServer::start_with(|options| options.access.unguarded = unguarded).await;
    let client = server.client();
    let (queued, ended) = (client.submit().await, client.submit().await);
    client.post(&format!("/v1/jobs/{ended}/cancel")).await.expect(StatusCode::OK);

    let mut attacker = Attacker::start().await;
    let accomplice = format!("http://{}", attacker.address());
    let relay = Relay::to(attacker.address()).await;
    let our_url = format!("http://{}", server.address());
    let (url, target, name) = match page {
        Page::SameSite => (accomplice.clone(), our_url, None),
        Page::CrossSite => (format!("http://{EVIL}:{}", attacker.address().port()), our_url, None),
        Page::Rebinding => (format!("http://{EVIL}:{}", relay.port()), String::new(), Some((relay, server.address()))),
    };
    let setting = json!({
        "target": target, "accomplice": accomplice, "rebinds": matches!(page, Page::Rebinding),
        "queued": queued, "ended": ended,
    });
    attacker.show(include_str!("attack.html").replace("/*SETTING*/{}", &setting.to_string()));
    let chromium = Chromium::open(&url);
    let report = attacker.report(name).await;
    drop(chromium);
    assert_eq!(report["form"], "sent", "{report}");
    damage(&client, &queued, &ended, &report).await
}

async fn damage(client: &Client, queued: &str, ended: &str, report: &Value) -> Damage {
    let jobs = client.get("/v1/jobs").await.expect(StatusCode::OK);
    let stolen = jobs["items"].as_array().unwrap().iter().filter(|job| job["name"] == "stolen");
    let status = client.get(&format!("/v1/jobs/{queued}")).await.expect(StatusCode::OK)["status"].clone();
    Damage {
        submitted: stolen.count(),
        cancelled: status == "cancelled",
        deleted: client.get(&format!("/v1/jobs/{ended}")).await.status == StatusCode::NOT_FOUND,
        read: report["read"].as_str().unwrap().contains(queued),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_on_another_port_of_this_machine_can_do_nothing() {
    assert_eq!(attack(Page::SameSite, true).await, BLIND);
    assert_eq!(attack(Page::SameSite, false).await, NONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_can_do_nothing() {
    assert_eq!(attack(Page::CrossSite, true).await, BLIND);
    assert_eq!(attack(Page::CrossSite, false).await, NONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_name_is_led_to_this_machine_can_do_nothing() {
    assert_eq!(attack(Page::Rebinding, true).await, FULL);
    assert_eq!(attack(Page::Rebinding, false).await, NONE);
}
