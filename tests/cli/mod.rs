//! The command line: what goes to stdout, what to stderr, and the exit code.

mod backup;
mod configuration;
mod connections;
mod doctor;
mod key;
mod remote;
mod serve;
mod spec_reference;
mod sweep;
mod usage;
mod webhook_secret;

use std::path::Path;
use std::process::{Command, Output};

pub(crate) use serve::Serving;

/// The program with a clean environment.
pub(crate) fn secateur() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secateur"));
    command.env_remove("DATABASE_URL").env_remove("SECATEUR_BLOBS");
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder of its own for what a command writes.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    crate::harness::make_passable(folder.path());
    folder
}

pub(crate) fn copy_example(name: &str, folder: &Path) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::copy(crate::harness::example(name), &path).unwrap();
    path
}
