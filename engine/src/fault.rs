//! Planned faults, for tests of whoever runs the engine.
//!
//! `SECATEUR_ENGINE_FAULT` is `abort:STAGE`, `hang:STAGE`, `fail:STAGE` or `abort-after-checkpoint:STAGE`. It takes effect
//! when a task of that stage was read and before anything else: `abort` ends the process with a signal as a crash in
//! libtorch would, `hang` stops answering for ever (closing standard input still ends the engine), `fail` sends a failed
//! outcome. The last one strikes later: when the first checkpoint is announced by a task that did not itself begin from one.

use secateur_core::stage::Stage;
use secateur_core::task::Outcome;

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

/// Carries out the fault that is planned for the moment after a checkpoint of `stage`.
pub fn after_checkpoint(stage: Stage) {
    let plan = std::env::var(VARIABLE).unwrap_or_default();
    if plan.strip_prefix("abort-after-checkpoint:") == Some(stage.as_str()) {
        std::process::abort();
    }
}
