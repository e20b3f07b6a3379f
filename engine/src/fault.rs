//! Planned faults, for tests of whoever runs the engine.
//!
//! `SECATEUR_ENGINE_FAULT` is `abort:STAGE`, `hang:STAGE` or `fail:STAGE`. It takes effect when a task of that stage was
//! read and before anything else: `abort` ends the process with a signal as a crash in libtorch would, `hang` stops
//! answering for ever (closing standard input still ends the engine), `fail` sends a failed outcome.

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
