//! Keys on the page, and what a page must not do.

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::{Value, json};

use super::{assert_accessible, bytes, server_and_tab, url};
use crate::harness::{file_part, form};

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_signs_in_makes_a_key_and_revokes_it() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let (_, secret) = server.make_key("ours", Scope::Admin).await;
    tab.go(&url(&server, "/keys")).await;
    tab.until("location.pathname === '/sign-in'").await;
    assert_accessible(&mut tab, "the page that asks for a key").await;
    tab.fill("#key", "sec_wrong").await;
    tab.press("Sign in").await;
    tab.until("document.querySelector('#key-problem').innerText.length > 0").await;
    tab.fill("#key", &secret).await;
    tab.key("Enter").await;
    tab.until("location.pathname === '/keys' && document.querySelectorAll('table.cards tbody tr').length === 1").await;
    tab.until_it_says("Quotas of ours").await;

    tab.fill("#key-name", "<b>machine</b>").await;
    tab.press("Make the key").await;
    let made = tab.until("document.querySelector('.made code')?.innerText").await;
    let client = server.client().with_key(made.as_str().unwrap());
    client.get("/v1/jobs").await.expect(StatusCode::OK);
    tab.until("document.querySelectorAll('table.cards tbody tr').length === 2").await;
    assert_eq!(tab.value("document.querySelector('table.cards b')").await, Value::Null);
    assert_accessible(&mut tab, "keys").await;
    tab.click("[aria-label='Revoke <b>machine</b>']").await;
    tab.press("Revoke it").await;
    tab.until("[...document.querySelectorAll('.badge')].some((badge) => badge.innerText === 'revoked')").await;
    client.get("/v1/jobs").await.problem(401, "unauthenticated");

    tab.press("Sign out").await;
    tab.until("location.pathname === '/sign-in'").await;
    tab.value("history.back()").await;
    tab.until("location.pathname === '/sign-in'").await;
    assert_eq!(tab.complaints(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_is_offered_nothing_else() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let (_, secret) = server.make_key("ours", Scope::Read).await;
    let job = server.client_of("ours", Scope::Submit).await.submit().await;
    tab.go(&url(&server, &format!("/jobs/{job}"))).await;
    tab.fill("#key", &secret).await;
    tab.press("Sign in").await;
    tab.until(&format!("location.pathname === '/jobs/{job}' && document.querySelector('.facts')")).await;
    let offered = tab
        .value("[...document.querySelectorAll('main .actions *, header .primary')].map((one) => one.innerText)")
        .await;
    assert_eq!(offered, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_names_stays_text() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    let client = server.client();
    let markup = "<img src=x onerror=alert(1)><script>alert(2)</script>";
    tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({"source": "window.alert = () => { window.struck = true; }"}),
    )
    .await;
    tab.go(&url(&server, "/submit")).await;
    tab.drop_file("#model-drop", &format!("{markup}.pt"), &bytes("vgg-digits.pt")).await;
    tab.until("document.querySelector('#model-told')?.innerText.includes('<img src=x')").await;
    let spec = json!({
        "name": markup, "labels": {"<i>key</i>": "<u onclick=alert(3)>value</u>"},
        "target": {"flops_reduction": 0.5}, "method": "uniform", "fine_tune": null
    });
    let job = client.post_form("/v1/jobs", form(&spec).part("dataset", file_part("digits.npz"))).await;
    let job = job.expect(StatusCode::ACCEPTED)["id"].as_str().unwrap().to_owned();
    for path in ["/".to_owned(), format!("/jobs/{job}"), "/models".to_owned(), format!("/submit?clone={job}")] {
        tab.go(&url(&server, &path)).await;
        tab.until("document.body.innerText.includes('<img src=x onerror') || document.querySelector('option')?.text.includes('<img')").await;
        let struck = tab
            .value("window.struck === true || document.querySelector('main img, main script, main i, main u') !== null")
            .await;
        assert_eq!(struck, false, "{path}");
    }
    assert_eq!(tab.complaints(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_lets_no_script_in_that_is_not_the_servers() {
    let (server, _chromium, mut tab) = server_and_tab().await;
    tab.go(&url(&server, "/")).await;
    let tried = tab
        .value(
            "(async () => {
                 const script = document.createElement('script');
                 script.textContent = 'window.struck = true';
                 document.body.append(script);
                 const frame = await fetch('http://127.0.0.1:1/').then(() => 'sent', () => 'refused');
                 return [window.struck === true, frame];
             })()",
        )
        .await;
    assert_eq!(tried, json!([false, "refused"]));
    let complaints = tab.complaints().join("\n");
    assert!(complaints.contains("script-src") && complaints.contains("connect-src"), "{complaints}");
}
