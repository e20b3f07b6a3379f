//! Commands for people and scripts that use a server: `submit`, `jobs`, `get`, `logs`, `cancel`.
//!
//! They speak the HTTP API and nothing else. A server that is away for a moment, or asks for patience, is asked again; what was
//! submitted is submitted once whatever happens on the way, since the request carries an idempotency key.

mod artifact;
mod cancel;
mod client;
mod events;
mod jobs;
mod logs;
mod submit;
mod upload;

use std::time::Duration;

use clap::Args;
use url::Url;

pub(super) use artifact::{GetArguments, get};
pub(super) use cancel::{CancelArguments, cancel};
pub(super) use jobs::{JobsArguments, jobs};
pub(super) use logs::{LogsArguments, logs};
pub(super) use submit::{SubmitArguments, submit};

use client::Client;

#[derive(Debug, Args)]
struct ServerChoice {
    /// The server
    #[arg(long, env = "SECATEUR_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// The key that is shown; better in the variable, since everybody on the machine sees command lines
    #[arg(long, env = "SECATEUR_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,
    /// Seconds for which a server that is away, or asks for patience, is asked again
    #[arg(long, env = "SECATEUR_PATIENCE", value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

impl ServerChoice {
    fn client(&self) -> Client {
        Client::new(self.url.clone(), self.key.clone(), Duration::from_secs(self.patience))
    }
}
