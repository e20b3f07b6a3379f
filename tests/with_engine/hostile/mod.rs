//! Hostile archives on engines with one layer of the guard alone: the columns of `table.md` but the first, see `crate::hostile`.

mod outcome;
mod run;

use std::time::Duration;

use secateur::engine::Exit;

use crate::hostile::catalogue::Fixtures;
use crate::hostile::table::Column;
use outcome::Seen;
use run::{Layer, LimitedEngine, Net, run_all};

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
