//! The log: lines on stderr, for people or as JSON; and spans to a collector, where this program was built for that.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

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

/// Keeps what was begun with the log; spans that were not sent yet go out when it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Logging {
    #[cfg(feature = "otlp")]
    _exporter: Option<crate::trace::Exporter>,
}

impl LogOptions {
    /// Starts logging; a long-running command tells more.
    pub(super) fn start(&self, is_service: bool) -> Logging {
        let usual = if is_service { "info,sqlx=warn" } else { "error" };
        let filter = EnvFilter::builder().parse_lossy(self.log.as_deref().unwrap_or(usual));
        let lines = fmt::layer().with_writer(std::io::stderr);
        let lines = match self.log_format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed(),
        };
        start(lines)
    }
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

#[cfg(not(feature = "otlp"))]
fn start(lines: Lines) -> Logging {
    tracing_subscriber::registry().with(lines).init();
    Logging {}
}

#[cfg(feature = "otlp")]
fn start(lines: Lines) -> Logging {
    let (exporter, problem) = match crate::trace::Exporter::from_environment() {
        None => (None, None),
        Some(Ok(exporter)) => (Some(exporter), None),
        Some(Err(problem)) => (None, Some(problem)),
    };
    tracing_subscriber::registry().with(lines).with(exporter.as_ref().map(crate::trace::Exporter::layer)).init();
    if let Some(problem) = problem {
        tracing::warn!(problem, "no spans are sent: the settings of OpenTelemetry cannot be used");
    }
    Logging { _exporter: exporter }
}
