//! Planned faults, for tests of whoever runs the engine.
//!
//! `SECATEUR_ENGINE_FAULT` is `abort:STAGE`, `hang:STAGE`, `fail:STAGE`, `stuck:STAGE` or `abort-after-checkpoint:STAGE`.
//! It takes effect when a task of that stage was read and before anything else: `abort` ends the process with a signal as a crash in
//! libtorch would, `hang` stops answering for ever (closing standard input still ends the engine), `fail` sends a failed
//! outcome. `stuck` lets work that has a time limit of its own never end, and shortens the limit. The last one strikes later: when
//! the first checkpoint is announced by a task that did not itself begin from one.

use std::time::Duration;

use secateur_core::stage::Stage;
use secateur_core::wire::Outcome;

pub const VARIABLE: &str = "SECATEUR_ENGINE_FAULT";

/// Carries out the planned fault, if there is one for `stage`; returns the outcome to send for `fail`.
pub fn inject(stage: Stage) -> Option<Outcome> {
    let plan = std::env::var(VARIABLE).ok()?;
    let (kind, planned) = plan.split_once(':')?;
    if planned != stage.as_str() {
        return None;
    }
    match kind {
        "abort" => std::process::abort(),
        "hang" => loop {
            std::thread::park();
        },
        "fail" => Some(Outcome::Failed { message: format!("planned fault: {plan}") }),
        _ => None,
    }
}

/// The time limit of work in `stage`; without a fault the usual one.
pub fn time_limit(stage: Stage, usual: Duration) -> Duration {
    if is_planned("stuck", stage) { Duration::from_millis(250) } else { usual }
}

/// Called in work that has a time limit: never comes back when that fault is planned.
pub fn get_stuck(stage: Stage) {
    while is_planned("stuck", stage) {
        std::thread::park();
    }
}

fn is_planned(kind: &str, stage: Stage) -> bool {
    let plan = std::env::var(VARIABLE).unwrap_or_default();
    plan.split_once(':') == Some((kind, stage.as_str()))
}

/// Carries out the fault that is planned for the moment after a checkpoint of `stage`.
pub fn after_checkpoint(stage: Stage) {
    if is_planned("abort-after-checkpoint", stage) {
        std::process::abort();
    }
}
