//! The command line. Data goes to stdout and everything else to stderr; a `hint:` follows an error that one can mend.
//!
//! Exit codes: 0 done, 1 failed or rejected, 2 wrong usage; of `submit --follow` also 3, the target cannot be reached, and 4, the metric fell by
//! more than is allowed.

mod backup;
mod configuration;
mod doctor;
mod engine;
mod inspect;
mod key;
mod limits;
mod logging;
mod openapi;
mod outcome;
mod progress;
mod prune;
mod remote;
mod serve;
mod shell;
mod spec;
mod spec_reference;
mod sweep;
mod table;
mod webhook;
mod webhook_secret;
mod worker;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use secateur_core::plain_text;
use secateur_core::rejection::Code;
use tokio_util::sync::CancellationToken;

use crate::database::DatabaseError;
use crate::local::LocalError;
use crate::server::StartError;
use logging::LogOptions;

pub use configuration::configuration_page;
pub use spec_reference::spec_reference_page;

/// Prunes TorchScript models: as a service, or one file here and now.
#[derive(Debug, Parser)]
#[command(name = "secateur", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API and workers, with a private database unless DATABASE_URL names one
    Serve(Box<serve::ServeArguments>),
    /// Join the workers of a server on another machine
    Worker(worker::WorkerArguments),
    /// Prune a model here, without server and database
    Prune(Box<prune::PruneArguments>),
    /// Submit a job to a server, and follow it with --follow
    Submit(Box<remote::SubmitArguments>),
    /// List the jobs of a server
    Jobs(remote::JobsArguments),
    /// Show a job of a server, or fetch a file that it made
    Get(remote::GetArguments),
    /// Show the log of a job of a server, or its events as they come
    Logs(remote::LogsArguments),
    /// Cancel a job of a server
    Cancel(remote::CancelArguments),
    /// Show a model's layers, channel groups, costs and what can be removed
    Inspect(inspect::InspectArguments),
    /// Make, list and revoke keys of the API
    Key(key::KeyArguments),
    /// Make, list and delete what webhooks are signed with
    WebhookSecret(webhook_secret::WebhookSecretArguments),
    /// Save a server's database and blobs into one file, beside the running server
    Backup(backup::BackupArguments),
    /// Make a server's folder of a backup
    Restore(backup::RestoreArguments),
    /// Look at everything that a server needs, and say what is wrong and what to do
    Doctor(doctor::DoctorArguments),
    /// Bring the database's schema up to date
    Migrate(serve::MigrateArguments),
    /// Compare the stored blobs with the database, free what belongs to nothing and name what is lost
    Sweep(sweep::SweepArguments),
    /// Print the API's description
    Openapi(openapi::OpenapiArguments),
    /// Print a shell's completions, to be sourced or put into its folder
    Completions(shell::CompletionsArguments),
    /// Write the man pages into a folder
    Man(shell::ManArguments),
    /// Print docs/configuration.md: every option and variable
    #[command(hide = true)]
    Configuration,
    /// Print docs/spec.md: every field of a job spec
    #[command(hide = true)]
    SpecReference,
}

/// What went wrong, for a person.
#[derive(Debug)]
struct CliError {
    message: String,
    hint: Option<String>,
    verdict: Verdict,
}

/// How a command that did what it could has gone, for scripts that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Failed,
    TargetMissed,
    MetricDropped,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::Good => 0,
            Verdict::Failed => 1,
            Verdict::TargetMissed => 3,
            Verdict::MetricDropped => 4,
        })
    }
}

impl CliError {
    fn new(message: impl ToString) -> Self {
        Self { message: message.to_string(), hint: None, verdict: Verdict::Failed }
    }

    /// A job that failed.
    fn of_job(code: &str, detail: impl Display) -> Self {
        let missed = code == Code::TargetUnreachable.as_str();
        Self {
            verdict: if missed { Verdict::TargetMissed } else { Verdict::Failed },
            ..Self::new(format!("{code}: {detail}"))
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(error) }
    }
}

impl From<DatabaseError> for CliError {
    fn from(error: DatabaseError) -> Self {
        StartError::from(error).into()
    }
}

impl From<secateur_core::rejection::Rejection> for CliError {
    fn from(rejection: secateur_core::rejection::Rejection) -> Self {
        let message = format!("{}: {}", rejection.code.as_str(), rejection.detail);
        Self { hint: rejection.hint, ..Self::new(message) }
    }
}

impl From<LocalError> for CliError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::Failed { error, log } => {
                let at = error.node.as_ref().map(|node| format!(" (at `{node}`)")).unwrap_or_default();
                if error.code == crate::job::INTERNAL && !log.trim().is_empty() {
                    eprintln!("{}", log.trim_end());
                }
                let hint = match error.code.as_str() {
                    crate::job::INTERNAL => None,
                    "input_shape" => Some("give the shape of one sample, such as --input-shape 3,32,32".to_owned()),
                    _ => error.hint,
                };
                Self { hint, ..Self::of_job(&error.code, format!("{}{at}", error.detail)) }
            }
            error @ LocalError::NoJudge => {
                Self::new(error).hint("give --judge COMMAND, or leave `judge` out of the spec")
            }
            error => Self::new(error),
        }
    }
}

/// Compute threads where none are asked for.
fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Parses the arguments, runs the command and says how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _logging =
        arguments.log.start(matches!(arguments.command, Command::Serve(_) | Command::Worker(_) | Command::Migrate(_)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a machine that runs programs has threads and epoll");
    let end = runtime.block_on(async {
        let done = match arguments.command {
            Command::Submit(arguments) => return remote::submit(*arguments).await,
            Command::Jobs(arguments) => return remote::jobs(arguments).await,
            Command::Get(arguments) => return remote::get(arguments).await,
            Command::Logs(arguments) => return remote::logs(arguments).await,
            Command::Cancel(arguments) => return remote::cancel(arguments).await,
            Command::Prune(arguments) => return prune::prune(*arguments).await,
            Command::Serve(arguments) => serve::serve(*arguments).await,
            Command::Worker(arguments) => worker::work(arguments).await,
            Command::Inspect(arguments) => inspect::inspect(arguments).await,
            Command::Key(arguments) => key::key(arguments).await,
            Command::WebhookSecret(arguments) => webhook_secret::webhook_secret(arguments).await,
            Command::Backup(arguments) => backup::back_up(arguments).await,
            Command::Restore(arguments) => backup::restore(arguments).await,
            Command::Doctor(arguments) => doctor::doctor(arguments).await,
            Command::Migrate(arguments) => serve::migrate(arguments).await,
            Command::Sweep(arguments) => sweep::run(arguments).await,
            Command::Openapi(arguments) => openapi::print(&arguments),
            Command::Completions(arguments) => {
                shell::complete(&arguments);
                Ok(())
            }
            Command::Man(arguments) => shell::write_man_pages(&arguments),
            Command::Configuration => {
                configuration::print();
                Ok(())
            }
            Command::SpecReference => {
                spec_reference::print();
                Ok(())
            }
        };
        done.map(|()| Verdict::Good)
    });
    runtime.shutdown_background();
    match end {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("error: {}", plain_text::lines(&error.message));
            if let Some(hint) = error.hint {
                eprintln!("hint: {}", plain_text::lines(&hint));
            }
            error.verdict.into()
        }
    }
}

/// Writes data to stdout, without what a terminal would obey; a reader that has seen enough is no error.
fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{}", plain_text::lines(text.trim_end())).and_then(|()| stdout.flush());
}

/// A token that is cancelled by SIGTERM or SIGINT; a second one ends the program at once.
fn cancelled_by_signals() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    tokio::spawn({
        let token = token.clone();
        async move {
            let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
            let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
            for times in 1.. {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if times == 2 {
                    std::process::exit(1);
                }
                token.cancel();
            }
        }
    });
    token
}
