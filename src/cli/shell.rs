//! What a shell and `man` want to know of the command line.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, CliError};

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The folder, such as /usr/local/share/man/man1
    folder: PathBuf,
}

pub(super) fn complete(arguments: &CompletionsArguments) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "secateur", &mut script);
    // A reader that has seen enough is no error.
    let _ = std::io::stdout().lock().write_all(&script);
}

pub(super) fn write_man_pages(arguments: &ManArguments) -> Result<(), CliError> {
    let failed = |error| CliError::new(format!("{}: {error}", arguments.folder.display()));
    std::fs::create_dir_all(&arguments.folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), &arguments.folder).map_err(failed)
}
