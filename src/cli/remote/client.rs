//! Requests to a server, repeated where that may help.

use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secateur_core::plain_text;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::cli::CliError;

/// A server that accepts a connection answers within this, or begins to.
const CONNECT: Duration = Duration::from_secs(10);
/// Longer than the server waits before it answers `?wait=`.
const SILENCE: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
    patience: Duration,
}

/// The members of a problem document that a person is told.
#[derive(Debug, Deserialize)]
struct ProblemIn {
    code: String,
    detail: String,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

/// Pauses that grow, within a time.
#[derive(Debug)]
pub(super) struct Pauses {
    until: Instant,
    next: Duration,
}

impl Pauses {
    pub(super) fn within(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, next: FIRST_PAUSE }
    }

    /// Waits before the next try, as long as is asked for where it is; `false` when there is no time for one.
    pub(super) async fn wait(&mut self, asked: Option<Duration>) -> bool {
        let pause = asked.unwrap_or(self.next);
        if Instant::now() + pause > self.until {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}

impl Client {
    pub(super) fn new(base: Url, key: Option<String>, patience: Duration) -> Self {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("secateur/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { http: http.expect("rustls needs nothing of the machine"), base, key, patience }
    }

    pub(super) fn pauses(&self) -> Pauses {
        Pauses::within(self.patience)
    }

    /// A request to a path of the server, such as `/v1/jobs?limit=5`.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CliError> {
        let url = self.base.join(path).map_err(|error| CliError::new(format!("{}{path}: {error}", self.base)))?;
        let request = self.http.request(method, url);
        Ok(match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    }

    /// Sends a request that may be sent twice, until there is an answer that is neither "later" nor silence.
    pub(super) async fn send(&self, make: impl Fn() -> Result<RequestBuilder, CliError>) -> Result<Response, CliError> {
        let mut pauses = self.pauses();
        loop {
            match make()?.send().await {
                Ok(answer) if is_later(answer.status()) => {
                    let asked = retry_after(&answer);
                    if !pauses.wait(asked).await {
                        return Err(self.refused(answer).await);
                    }
                }
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => return Err(self.refused(answer).await),
                Err(error) => {
                    if !pauses.wait(None).await {
                        return Err(self.unreachable(&error));
                    }
                }
            }
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let answer = self.send(|| self.request(Method::GET, path)).await?;
        self.read(answer).await
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, CliError> {
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| CliError::new(format!("{} does not answer as a Secateur server does: {error}", self.base)))
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = error.to_string();
            cause = error.source();
        }
        CliError::new(format!("{} cannot be reached: {text}", self.base))
            .hint("--url or SECATEUR_URL names the server; `secateur serve` starts one")
    }

    /// What the server says of a request that it does not take.
    pub(super) async fn refused(&self, answer: Response) -> CliError {
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_default();
        let Ok(problem) = serde_json::from_slice::<ProblemIn>(&body) else {
            return CliError::new(format!("{} answers {status}", self.base));
        };
        let at = problem.node.map(|node| format!(" (at `{node}`)")).unwrap_or_default();
        let error = CliError::new(plain_text::lines(&format!("{}: {}{at}", problem.code, problem.detail)));
        match (problem.hint, status) {
            (_, StatusCode::UNAUTHORIZED) => {
                error.hint("SECATEUR_KEY has the key; `secateur key create` on the server makes one")
            }
            (Some(hint), _) => error.hint(hint),
            (None, _) => error,
        }
    }
}

/// Whether the same request may be answered well later.
pub(super) fn is_later(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The seconds that the server asks for.
pub(super) fn retry_after(answer: &Response) -> Option<Duration> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
