//! Commands that run tasks.

mod doctor;
mod local;
mod remote;
mod worker;

use std::process::Command;

use crate::cli::secateur;
use crate::with_engine::engine;

/// The program with the engine at hand.
fn secateur_with_engine() -> Command {
    let mut command = secateur();
    command.env("SECATEUR_ENGINE", &engine().path);
    command
}
