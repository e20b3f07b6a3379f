//! The log: lines on stderr, for people or as JSON.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct LogOptions {
    /// Form of the log on stderr
    #[arg(long, global = true, env = "SECATEUR_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged, such as `debug` or `secateur=debug,sqlx=warn` [default: info for servers, error else]
    #[arg(long, global = true, env = "SECATEUR_LOG", value_name = "FILTER")]
    log: Option<String>,
}

impl LogOptions {
    /// Starts logging; a long-running command tells more.
    pub(super) fn start(&self, is_service: bool) {
        let usual = if is_service { "info,sqlx=warn" } else { "error" };
        let filter = EnvFilter::builder().parse_lossy(self.log.as_deref().unwrap_or(usual));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
            LogFormat::Json => log.json().flatten_event(true).with_current_span(false).init(),
        }
    }
}
