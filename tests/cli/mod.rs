//! The command line: what goes to stdout, what to stderr, and the exit code.

mod configuration;
mod connections;
mod key;
mod local;
mod serve;
mod usage;
mod worker;

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::engine;

/// The program with a clean environment.
fn secateur() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secateur"));
    command.env_remove("DATABASE_URL").env_remove("SECATEUR_BLOBS");
    command
}

/// The program with the engine at hand.
fn secateur_with_engine() -> Command {
    let mut command = secateur();
    command.env("SECATEUR_ENGINE", &engine().path);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder of its own for what a command writes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    crate::harness::make_passable(folder.path());
    folder
}

fn copy_example(name: &str, folder: &Path) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::copy(crate::harness::example(name), &path).unwrap();
    path
}
