//! The sandbox from inside: a prisoner tries what a hostile model would, as root's engine and as an ordinary user's.
//!
//! The program is its own prisoner: started with an errand in its environment it enters the sandbox before there is any second thread,
//! as the engine does, tries the attempts of the errand and prints how each ended. Every attempt is also made without a
//! sandbox, where it must succeed: one that fails anyway would prove nothing.

mod attempt;
mod identity;
mod prisoner;
mod refusals;
mod work;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use prisoner::Errand;

fn main() -> ExitCode {
    if let Some(errand) = Errand::from_environment() {
        return prisoner::run(&errand);
    }
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> = [refusals::trials(), identity::trials(), work::trials()].into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial of a function that panics when it fails.
fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
