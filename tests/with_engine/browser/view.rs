//! How every page looks: nothing spills over, everybody can use it, by keyboard too; and the pictures of the documentation.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{assert_accessible, server_and_tab, url, wait_for_end};
use crate::harness::{Tab, TestServer, file_part, form};

const WIDE: (u32, u32) = (1280, 900);
const NARROW: (u32, u32) = (390, 844);
/// Bytes that a picture of the documentation may have.
const LARGEST_PICTURE: usize = 150_000;

/// A server on which something has happened: a job that succeeded, one that failed, one that waits; the pages that show it, with names.
async fn pages(server: &TestServer) -> Vec<(&'static str, String)> {
    let client = server.client();
    let spec = json!({
        "name": "resnet20-digits", "labels": {"team": "vision", "run": "nightly"}, "preset": "quick",
        "target": {"flops_reduction": 0.6}, "input": {"mean": 4.9, "std": 6.0}, "fine_tune": {"epochs": 6},
        "search": {"top_m": 12}
    });
    let dataset = || file_part("digits.npz");
    let submit = async |spec: &Value, model: &str| {
        let parts = reqwest::multipart::Form::new()
            .part("model", file_part(model))
            .part("dataset", dataset())
            .part("spec", reqwest::multipart::Part::text(spec.to_string()));
        let job = client.post_form("/v1/jobs", parts).await.expect(StatusCode::ACCEPTED);
        (job["id"].as_str().unwrap().to_owned(), job["model_id"].as_str().unwrap().to_owned())
    };
    let (job, model) = submit(&spec, "resnet20-digits.pt").await;
    client.post(&format!("/v1/models/{model}/inspect")).await;
    let refused =
        json!({"name": "too-much", "target": {"flops_reduction": 0.97}, "constraints": {"max_layer_reduction": 0.5}});
    let failed =
        client.post_form("/v1/jobs", form(&refused).part("dataset", dataset())).await.expect(StatusCode::ACCEPTED);
    for job in [&job, failed["id"].as_str().unwrap()] {
        wait_for_end(&client, job).await;
    }
    let long = json!({
        "name": "vgg-digits", "labels": {"team": "edge"}, "target": {"params_reduction": 0.7}, "method": "global_l2",
        "input": {"mean": 4.9, "std": 6.0}, "fine_tune": {"epochs": 500}
    });
    let (running, _) = submit(&long, "vgg-digits.pt").await;
    vec![
        ("jobs", "/".to_owned()),
        ("job", format!("/jobs/{job}")),
        ("running", format!("/jobs/{running}")),
        ("failed", format!("/jobs/{}", failed["id"].as_str().unwrap())),
        ("models", "/models".to_owned()),
        ("model", format!("/models/{model}")),
        ("datasets", "/datasets".to_owned()),
        ("submit", format!("/submit?model={model}&flops_reduction=0.6")),
    ]
}

/// Goes to a page and waits until all of it is there.
async fn open(tab: &mut Tab, server: &TestServer, name: &str, path: &str) {
    tab.go(&url(server, path)).await;
    let is_there = match name {
        "jobs" => "document.querySelectorAll('table.jobs tbody tr').length >= 3",
        "job" => {
            "document.querySelectorAll('.timeline li').length > 8 && document.querySelector('.curve path') && document.querySelector('table')"
        }
        "running" => "document.querySelector('.curve path')",
        "failed" => "document.querySelector('.problem')",
        "models" => {
            "document.querySelectorAll('tbody tr').length >= 2 && !document.body.innerText.includes('is being inspected')"
        }
        "model" => "document.querySelectorAll('.graph .layer').length > 10",
        "datasets" => "document.querySelectorAll('tbody tr').length === 1",
        "submit" => "document.querySelector('#model-told')?.innerText.includes('MACs')",
        _ => "document.querySelector('h1')",
    };
    tab.until(is_there).await;
    tab.until("document.fonts.ready.then(() => true)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_and_can_be_used_by_everybody() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let pages = pages(&server).await;
    for (size, scheme) in [(WIDE, "light"), (NARROW, "dark"), (WIDE, "dark"), (NARROW, "light")] {
        tab.look(size.0, size.1, scheme).await;
        for (name, path) in &pages {
            open(&mut tab, &server, name, path).await;
            let what = format!("{name}, {} wide, {scheme}", size.0);
            if *name == "submit" {
                tab.value("document.querySelectorAll('details').forEach((section) => { section.open = true; })").await;
            }
            assert_accessible(&mut tab, &what).await;
            let width = tab.value("document.documentElement.scrollWidth").await;
            assert_eq!(width, size.0, "{what}: it spills over to the side");
        }
    }
    assert_eq!(tab.complaints(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_job_is_a_page_that_fits_and_runs_nothing() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let pages = pages(&server).await;
    let job = pages.iter().find_map(|(name, path)| (*name == "job").then_some(path)).unwrap();
    tab.go(&url(&server, job)).await;
    let link = tab.until("document.querySelector('a[href$=\"/report.html\"]')?.getAttribute('href')").await;
    // What the server shows is a sandbox, into which the developer tools cannot look either; the file says the same without that.
    let served = server.client().get(link.as_str().unwrap()).await;
    assert!(served.header("content-security-policy").ends_with("; sandbox"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    std::fs::write(&file, served.body).unwrap();
    for (size, scheme) in [(WIDE, "light"), (NARROW, "dark")] {
        tab.look(size.0, size.1, scheme).await;
        tab.go(&format!("file://{}", file.display())).await;
        tab.until("document.querySelectorAll('h2').length === 7").await;
        let marks =
            "document.querySelectorAll('.point').length > 8 && document.querySelectorAll('.curve').length === 2";
        assert_eq!(tab.value(marks).await, true);
        assert_eq!(tab.value("document.querySelectorAll('.winner').length").await, 1);
        assert_accessible(&mut tab, &format!("the report, {} wide, {scheme}", size.0)).await;
        let width = tab.value("document.documentElement.scrollWidth").await;
        assert_eq!(width, size.0, "the report spills over to the side");
    }
    assert_eq!(tab.complaints(), [] as [String; 0]);
    let script = "const script = document.createElement('script'); script.textContent = 'window.struck = true'; document.body.append(script)";
    tab.value(&format!("{script}; true")).await;
    assert_eq!(tab.value("window.struck === true").await, false);
    let complaints = tab.complaints().join(" ");
    assert!(complaints.contains("default-src 'none'"), "{complaints}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_shows_every_operation() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    tab.go(&url(&server, "/docs/")).await;
    let description: Value = reqwest::get(url(&server, "/openapi.json")).await.unwrap().json().await.unwrap();
    let methods = ["get", "put", "post", "delete", "options", "head", "patch"];
    let paths = description["paths"].as_object().unwrap().values();
    let operations: usize =
        paths.map(|path| methods.iter().filter(|&&method| path.get(method).is_some()).count()).sum();
    tab.until(&format!("document.querySelectorAll('.opblock').length === {operations}")).await;
    assert_eq!(tab.complaints(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_gets_everywhere() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let job = server.client().submit().await;
    tab.go(&url(&server, "/")).await;
    tab.until("document.querySelector('.job-name')").await;
    tab.key("Tab").await;
    assert_eq!(tab.value("document.activeElement.className").await, "skip");
    for _ in 0..40 {
        if tab.value("document.activeElement.className === 'job-name'").await == true {
            break;
        }
        tab.key("Tab").await;
        let outline = tab.value("getComputedStyle(document.activeElement).outlineStyle").await;
        assert_ne!(outline, "none", "what has the focus shows it");
    }
    tab.key("Enter").await;
    tab.until(&format!("location.pathname === '/jobs/{job}'")).await;
    // The focus goes along to the new page.
    assert_eq!(tab.value("document.activeElement.id").await, "main");
    tab.until("document.querySelector('#announcer').innerText.includes('Job')").await;
}

/// Writes the pictures of the documentation; only when it is asked to, since pictures differ from machine to machine.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "`make screenshots` runs it"]
async fn pictures_of_every_page() {
    let folder = std::env::var_os("SECATEUR_SCREENSHOTS")
        .expect("SECATEUR_SCREENSHOTS is the folder, as `make screenshots` sets it");
    let (server, _chromium, mut tab) = server_and_tab().await;
    for (name, path) in pages(&server).await {
        if name == "failed" {
            continue;
        }
        for (suffix, size, scheme, highest) in [("", WIDE, "light", 1700), ("-phone", NARROW, "dark", 1500)] {
            tab.look(size.0, size.1, scheme).await;
            open(&mut tab, &server, name, &path).await;
            // The button at the foot of the form stands in the window's last line, wherever that is in a longer picture.
            let highest = if name == "submit" { u64::from(size.1) } else { highest };
            save_picture(&mut tab, Path::new(&folder), &format!("dashboard-{name}{suffix}.png"), highest).await;
        }
    }
    let (_, secret) = server.make_key("default", secateur::access::Scope::Admin).await;
    for (suffix, size, scheme) in [("", WIDE, "light"), ("-phone", NARROW, "dark")] {
        tab.look(size.0, size.1, scheme).await;
        tab.call("Network.clearBrowserCookies", json!({})).await;
        tab.go(&url(&server, "/keys")).await;
        tab.until("document.querySelector('#key')").await;
        save_picture(&mut tab, Path::new(&folder), &format!("dashboard-sign-in{suffix}.png"), 900).await;
        tab.fill("#key", &secret).await;
        tab.press("Sign in").await;
        tab.until("document.querySelector('table.cards tbody tr')").await;
        save_picture(&mut tab, Path::new(&folder), &format!("dashboard-keys{suffix}.png"), 1200).await;
    }
}

/// Keeps a picture of the page, smaller where it would be too large a file.
async fn save_picture(tab: &mut Tab, folder: &Path, name: &str, highest: u64) {
    let mut picture = tab.picture(highest, 1.0).await;
    if picture.len() > LARGEST_PICTURE {
        picture = tab.picture(highest, 0.75).await;
    }
    assert!(picture.len() <= LARGEST_PICTURE, "{name} has {} bytes", picture.len());
    std::fs::write(folder.join(name), picture).unwrap();
}
