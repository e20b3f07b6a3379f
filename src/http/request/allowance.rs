//! How many requests a caller may make: counted after it is known who calls, before the handler.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::access::Caller;
use crate::http::App;
use crate::http::answer::problem::{Code, Problem};
use crate::quota::TooManyRequests;

/// Refuses a request beyond the caller's rate, and says when the next one will be let through.
pub(crate) async fn count_request(
    State(app): State<App>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    app.quotas.count_request(&app.database, &caller).await??;
    Ok(next.run(request).await)
}

impl From<TooManyRequests> for Problem {
    fn from(TooManyRequests { per_minute, wait }: TooManyRequests) -> Self {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let detail = format!("The key has made more than {per_minute} requests in a minute: try again in {seconds} s.");
        Self::new(Code::RateLimited, detail).header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}
