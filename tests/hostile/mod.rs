//! Hostile archives, each tried on each layer of the guard alone.
//!
//! `make_fixtures.py` writes the archives when a test begins, with a file outside of the task's folder as a canary in each that
//! is after one. Then, one test for each column of `table.md`:
//! 1. *Pre-flight alone*: the pure reader of the file refuses what shows in it.
//! 2. *Operators alone*: an engine without pre-flight and sandbox refuses what it would run. libtorch runs defaults while it
//!    loads, before the list is looked at, so some of these come too late, and the table says so.
//! 3. *Sandbox alone*: an engine without the other two may do what it likes; outside of its folder nothing has changed, nothing
//!    was read, it has left no process, and it stayed within its time and memory.
//! 4. *No layer*: what the attack does to an engine that guards nothing. An attack that does nothing here proves nothing above.
//!
//! `stopped` is by a limit on time or memory, or by a crash.
//!
//! Each test compares its column with the one in `table.md`; `make hostile-table` writes it anew. That tries every attack on every
//! layer; the tests try every attack on pre-flight, and on engines those that touch files with a third of the rest, unless
//! `SECATEUR_HOSTILE` is `all`. Engines run within limits of time and memory that this test sets, see [`run::Net`].

mod canary;
mod catalogue;
mod outcome;
mod run;
mod table;

use std::time::Duration;

use secateur::engine::Exit;
use secateur_core::archive;

use crate::harness::TestServer;
use catalogue::{Effect, Fixtures};
use outcome::Seen;
use run::{Layer, LimitedEngine, Net, run_all};
use table::Column;

#[test]
fn preflight_alone_refuses_whatever_shows_in_the_file() {
    let fixtures = Fixtures::write();
    archive::preflight(&fixtures.honest()).expect("the honest network passes");
    let mut passed = Vec::new();
    let cells = fixtures.attacks.iter().map(|attack| {
        let cell = match archive::preflight(&fixtures.path(attack)) {
            Ok(_) => "passes".to_owned(),
            Err(rejection) => format!("refused: `{}`", rejection.code.as_str()),
        };
        if attack.preflight && cell == "passes" {
            passed.push(attack.name.clone());
        }
        (attack.name.clone(), cell)
    });
    let cells = cells.collect();
    Column::Preflight.compare(&fixtures.attacks, cells);
    assert!(passed.is_empty(), "pre-flight lets through: {passed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_alone_refuse_whatever_is_not_done_while_loading() {
    let fixtures = Fixtures::write_for_engines();
    let seen = run_all(&fixtures, &[Layer::Preflight, Layer::Sandbox]).await;
    Column::Operators.compare(&fixtures.attacks, seen.iter().map(|seen| (seen.name.clone(), seen.refusal())).collect());
    let escaped = |seen: &&Seen| !seen.traces.is_empty() && !fixtures.attack(&seen.name).at_load;
    let escaped: Vec<&Seen> = seen.iter().filter(escaped).collect();
    assert!(escaped.is_empty(), "done although the operator is refused: {escaped:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_alone_keeps_every_attack_inside_of_its_task() {
    let fixtures = Fixtures::write_for_engines();
    let seen = run_all(&fixtures, &[Layer::Preflight, Layer::Operators]).await;
    Column::Sandbox.compare(&fixtures.attacks, seen.iter().map(|seen| (seen.name.clone(), seen.holding())).collect());
    let escaped: Vec<&Seen> = seen.iter().filter(|seen| !seen.is_held()).collect();
    assert!(escaped.is_empty(), "outside of the sandbox: {escaped:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_alone_bounds_time_and_memory() {
    let fixtures = Fixtures::write();
    let time = Duration::from_secs(10);
    let net = Net { processor_seconds: 60, kibibytes: 16 << 20, time };
    let engine = LimitedEngine::without(&[Layer::Preflight, Layer::Operators], net);

    let endless = engine.run(&fixtures.path(fixtures.attack("default-endless"))).await;
    assert!(matches!(endless.exit, Exit::TimedOut(_)), "{:?}", endless.exit);
    assert!(endless.took < 2 * time, "it took {:?}", endless.took);

    let growing = engine.run(&fixtures.path(fixtures.attack("folded-texts"))).await;
    assert!(!matches!(growing.exit, Exit::Done { .. }), "sixteen gigabytes of text were made");
    // Four gigabytes of its own, and libtorch.
    assert!(growing.peak_kibibytes < 5 << 20, "it held {} KiB", growing.peak_kibibytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_layer_the_attacks_do_what_they_are_made_for() {
    let fixtures = Fixtures::write_for_engines();
    let seen = run_all(&fixtures, &[Layer::Preflight, Layer::Operators, Layer::Sandbox]).await;
    Column::Nothing.compare(&fixtures.attacks, seen.iter().map(|seen| (seen.name.clone(), seen.doing())).collect());
    let made = seen.iter().filter(|seen| !seen.traces.is_empty()).count();
    assert!(made * 5 > seen.len(), "only {made} of {} attacks leave a trace: do the canaries work?", seen.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_answered_with_the_code_of_the_preflight_and_the_server_lives_on() {
    let fixtures = Fixtures::write();
    let server = TestServer::start().await;
    let client = server.client();
    for attack in fixtures.attacks.iter().filter(|attack| attack.preflight) {
        let path = fixtures.path(attack);
        let expected = archive::preflight(&path).expect_err(&attack.name).code;
        let answer = client.upload("/v1/models", std::fs::read(&path).unwrap()).await;
        answer.problem(422, expected.as_str());
    }
    let honest = client.upload("/v1/models", std::fs::read(fixtures.honest()).unwrap()).await;
    honest.expect(reqwest::StatusCode::CREATED);
}

#[test]
fn the_security_page_says_what_the_table_says() {
    let Some((written, expected)) = table::security_page(&Fixtures::write().attacks) else { return };
    assert_eq!(written, expected, "`make hostile-table` writes it anew");
}

#[test]
fn the_catalogue_has_attacks_of_every_effect() {
    let fixtures = Fixtures::write();
    for effect in Effect::ALL {
        assert!(fixtures.attacks.iter().any(|attack| attack.effect == effect), "none {effect:?}");
    }
    assert!(fixtures.attacks.len() >= 150, "{}", fixtures.attacks.len());
}
