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
//! `SECATEUR_HOSTILE` is `all`. The columns with an engine are in `crate::with_engine::hostile`, within limits of time and memory that it
//! sets.

pub(crate) mod canary;
pub(crate) mod catalogue;
mod lying_engine;
pub(crate) mod table;

use secateur_core::archive;

use crate::harness::TestServer;
use catalogue::{Effect, Fixtures};
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
