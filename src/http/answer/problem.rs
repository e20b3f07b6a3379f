//! Errors as RFC 9457 problem documents: one table of code, status and title.
//!
//! Which to use where: what the client can mend has its own code and says what was wrong, with the value, and what is
//! allowed. A [`Rejection`] of the user's file or spec keeps its own code and is always 422. Ours is `internal`, with
//! the cause in the log and not in the answer. Being unable to work now is 503 with `Retry-After`.

use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use secateur_core::rejection::{Code as RejectionCode, Rejection};
use serde::Serialize;
use serde_json::{Map, Value};
use strum::{EnumIter, IntoEnumIterator};
use utoipa::ToSchema;

use super::quote::{LONGEST_TEXT, LONGEST_VALUE, cut, printable};
use crate::blob::BlobError;
use crate::database::DatabaseError;
use crate::http::connection::Pace;
use crate::http::connection::body::BodyError;
use crate::id::JobId;
use crate::quota::QuotaExceeded;
use crate::upload::UploadError;

/// Seconds after which a client should try again.
const TRY_AGAIN_AFTER: u32 = 5;

/// Seconds after which one of the tenant's open jobs may have ended: they take minutes.
const JOB_MAY_HAVE_ENDED_AFTER: u32 = 60;

/// The stable code of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter)]
pub enum Code {
    InvalidJson,
    InvalidMultipart,
    InvalidParameter,
    MissingPart,
    UploadBroken,
    DigestMismatch,
    UploadNotFound,
    UploadLocked,
    OffsetMismatch,
    ChecksumMismatch,
    TusVersionUnsupported,
    Unauthenticated,
    InsufficientScope,
    CsrfTokenNeeded,
    CrossOriginRefused,
    HostNotAllowed,
    RouteNotFound,
    KeyNotFound,
    JobNotFound,
    ModelNotFound,
    DatasetNotFound,
    ArtifactNotFound,
    DeliveryNotFound,
    WebhookSecretNotFound,
    MethodNotAllowed,
    UploadStalled,
    ModelInUse,
    DatasetInUse,
    NoBucket,
    JobNotEnded,
    JobHasEnded,
    JobExpired,
    NoJudge,
    JudgementNotAsked,
    JudgementOver,
    TooManyWebhookSecrets,
    InvalidScore,
    NotAFinalist,
    PayloadTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    IdempotencyKeyReused,
    /// [`every_error`] has each of these codes.
    #[strum(disabled)]
    Rejected(RejectionCode),
    Internal,
    DatabaseUnavailable,
    BlobStoreUnavailable,
    QuotaExceeded,
    RateLimited,
    DiskFull,
    EngineUnavailable,
    NotificationsUnavailable,
    Draining,
    TooManyConnections,
    StorageFull,
}

impl Code {
    /// The one table.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidJson => (S::BAD_REQUEST, "invalid_json", "Body is not valid JSON"),
            Self::InvalidMultipart => (S::BAD_REQUEST, "invalid_multipart", "Multipart body is not valid"),
            Self::InvalidParameter => (S::BAD_REQUEST, "invalid_parameter", "Parameter or header is not valid"),
            Self::MissingPart => (S::BAD_REQUEST, "missing_part", "A part of the body is missing"),
            Self::UploadBroken => (S::BAD_REQUEST, "upload_broken", "Upload broke off"),
            Self::DigestMismatch => (S::BAD_REQUEST, "digest_mismatch", "File does not have its digest"),
            Self::UploadNotFound => (S::NOT_FOUND, "upload_not_found", "No such upload"),
            Self::UploadLocked => (S::LOCKED, "upload_locked", "Another request adds to the upload"),
            Self::OffsetMismatch => (S::CONFLICT, "offset_mismatch", "Upload is not at this offset"),
            Self::ChecksumMismatch => (checksum_mismatch(), "checksum_mismatch", "Piece does not have its checksum"),
            Self::TusVersionUnsupported => {
                (S::PRECONDITION_FAILED, "tus_version_unsupported", "Version of the tus protocol not supported")
            }
            Self::RouteNotFound => (S::NOT_FOUND, "route_not_found", "No such route"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "Key is missing or not in force"),
            Self::InsufficientScope => (S::FORBIDDEN, "insufficient_scope", "Key does not allow this"),
            Self::CsrfTokenNeeded => (S::FORBIDDEN, "csrf_token_needed", "Token of the session's page is needed"),
            Self::CrossOriginRefused => (S::FORBIDDEN, "cross_origin_refused", "Request of another origin's page"),
            Self::HostNotAllowed => (S::MISDIRECTED_REQUEST, "host_not_allowed", "Host is not this server's"),
            Self::KeyNotFound => (S::NOT_FOUND, "key_not_found", "No such key"),
            Self::JobNotFound => (S::NOT_FOUND, "job_not_found", "No such job"),
            Self::ModelNotFound => (S::NOT_FOUND, "model_not_found", "No such model"),
            Self::DatasetNotFound => (S::NOT_FOUND, "dataset_not_found", "No such data set"),
            Self::ArtifactNotFound => (S::NOT_FOUND, "artifact_not_found", "No such artifact"),
            Self::DeliveryNotFound => (S::NOT_FOUND, "delivery_not_found", "No such delivery"),
            Self::WebhookSecretNotFound => (S::NOT_FOUND, "webhook_secret_not_found", "No such webhook secret"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::UploadStalled => (S::REQUEST_TIMEOUT, "upload_stalled", "Upload stalled"),
            Self::ModelInUse => (S::CONFLICT, "model_in_use", "Model is in use"),
            Self::DatasetInUse => (S::CONFLICT, "dataset_in_use", "Data set is in use"),
            Self::NoBucket => (S::CONFLICT, "no_bucket", "Server has no bucket"),
            Self::JobNotEnded => (S::CONFLICT, "job_not_ended", "Job has not ended"),
            Self::JobHasEnded => (S::CONFLICT, "job_has_ended", "Job has ended"),
            Self::JobExpired => (S::GONE, "job_expired", "Job has expired"),
            Self::NoJudge => (S::CONFLICT, "no_judge", "Job has no judge"),
            Self::JudgementNotAsked => (S::CONFLICT, "judgement_not_asked", "Judgement is not asked for yet"),
            Self::JudgementOver => (S::CONFLICT, "judgement_over", "Judgement is over"),
            Self::TooManyWebhookSecrets => (S::CONFLICT, "too_many_webhook_secrets", "Too many webhook secrets"),
            Self::InvalidScore => (S::UNPROCESSABLE_ENTITY, "invalid_score", "Score is not valid"),
            Self::NotAFinalist => (S::UNPROCESSABLE_ENTITY, "not_a_finalist", "Candidate is no finalist"),
            Self::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "Body is too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Content type not supported")
            }
            Self::RangeNotSatisfiable => (S::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "Range outside the file"),
            Self::IdempotencyKeyReused => {
                (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key was used for something else")
            }
            Self::Rejected(code) => (S::UNPROCESSABLE_ENTITY, code.as_str(), code.title()),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::DatabaseUnavailable => (S::SERVICE_UNAVAILABLE, "database_unavailable", "Database not available"),
            Self::BlobStoreUnavailable => {
                (S::SERVICE_UNAVAILABLE, "blob_store_unavailable", "Blob store not available")
            }
            Self::QuotaExceeded => (S::TOO_MANY_REQUESTS, "quota_exceeded", "Quota exceeded"),
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::DiskFull => (S::SERVICE_UNAVAILABLE, "disk_full", "Disk is full"),
            Self::EngineUnavailable => (S::SERVICE_UNAVAILABLE, "engine_unavailable", "Engine does not start"),
            Self::NotificationsUnavailable => {
                (S::SERVICE_UNAVAILABLE, "notifications_unavailable", "Notifications are not heard")
            }
            Self::Draining => (S::SERVICE_UNAVAILABLE, "draining", "Server is about to stop"),
            Self::TooManyConnections => (S::SERVICE_UNAVAILABLE, "too_many_connections", "Too many connections"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "storage_full", "No space left"),
        }
    }
}

/// Status, code and title of everything that a problem document may be; failed jobs and refused uploads have these codes too.
/// docs/errors.md has a paragraph on each.
pub fn every_error() -> impl Iterator<Item = (StatusCode, &'static str, &'static str)> {
    let rejected = RejectionCode::ALL.iter().copied().map(Code::Rejected);
    Code::iter().chain(rejected).map(Code::row)
}

/// The status that tus has for it.
fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).expect("460 is a status")
}

/// A refusal or failure of one request; boxed, since most requests have none.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: String,
    node: Option<String>,
    hint: Option<String>,
    header: Option<(HeaderName, HeaderValue)>,
    members: Map<String, Value>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// Always `about:blank`: the code tells problems apart.
    #[serde(rename = "type")]
    kind: &'a str,
    /// Stable; what a client should look at.
    code: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    /// The field, node, tensor or record that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Figures and names that a program may want, by problem.
    #[serde(flatten)]
    #[schema(value_type = HashMap<String, Value>)]
    members: Map<String, Value>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts { code, detail: detail.into(), node: None, hint: None, header: None, members: Map::new() }))
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// A member of the document beyond the usual ones.
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(Code::Internal, "Something went wrong on our side; the server's log has the cause.")
    }

    /// A query parameter or header with a value that it cannot have.
    pub fn invalid_parameter(name: &str, value: &str, allowed: &str) -> Self {
        Self::new(Code::InvalidParameter, format!("`{name}` is `{}`: it must be {allowed}.", cut(value, LONGEST_VALUE)))
    }

    /// What was uploaded cannot be deleted, since these jobs need it.
    pub fn needed(code: Code, what: &str, jobs: &[JobId]) -> Self {
        let jobs: Vec<String> = jobs.iter().map(JobId::to_string).collect();
        Self::new(code, format!("{what} is needed by jobs that have not ended: {}.", jobs.join(", ")))
            .hint("Cancel them, or wait for them to end.")
            .member("jobs", jobs)
    }

    /// A body that came too slowly.
    pub fn stalled(pace: Pace) -> Self {
        let (bytes, seconds) = (pace.bytes, pace.within.as_secs());
        let detail = format!("The body came too slowly: at least {bytes} bytes in {seconds} seconds are needed.");
        Self::new(Code::UploadStalled, detail)
    }

    /// A body that broke off, or came too slowly, as the chain of causes tells.
    pub fn broken_body(error: &(dyn std::error::Error + 'static)) -> Self {
        match BodyError::pace_missed(error) {
            Some(pace) => Self::stalled(pace),
            None => Self::new(Code::UploadBroken, "The body ended before its time."),
        }
    }

    pub fn payload_too_large(max_bytes: u64) -> Self {
        Self::new(Code::PayloadTooLarge, format!("The body is longer than the {max_bytes} bytes that are allowed."))
    }

    /// Nobody can work now; the client is told when to try again.
    pub fn unavailable(code: Code, detail: &str) -> Self {
        Self::new(code, detail).header(RETRY_AFTER, HeaderValue::from(TRY_AGAIN_AFTER))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { code, detail, node, hint, header, members } = *self.0;
        // Whatever of a request or a file is told back, wherever it was put in.
        let [detail, node, hint] =
            [Some(detail), node, hint].map(|text| text.map(|text| printable(&text, LONGEST_TEXT)));
        let (status, code, title) = code.row();
        let document = ProblemDocument {
            kind: "about:blank",
            code,
            title,
            status: status.as_u16(),
            detail: detail.as_deref().unwrap_or_default(),
            node: node.as_deref(),
            hint: hint.as_deref(),
            members,
        };
        let body = serde_json::to_vec(&document).expect("a problem document has string keys");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let Rejection { code, detail, node, hint } = rejection.presentable();
        Self(Box::new(Parts { code: Code::Rejected(code), detail, node, hint, header: None, members: Map::new() }))
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Away(_) | DatabaseError::Collision(_) => {
                tracing::warn!(%error, "request failed");
                Self::unavailable(Code::DatabaseUnavailable, "The database cannot be reached; try again soon.")
            }
            DatabaseError::NotMigrated { .. } => {
                tracing::error!(%error, "request failed");
                Self::unavailable(Code::DatabaseUnavailable, "The database's schema is not up to date.")
            }
            error => Self::internal(error),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full => Self::new(Code::StorageFull, "There is no space left to store this."),
            BlobError::NotFound(_) | BlobError::Damaged { .. } => Self::internal(error),
            BlobError::Other(_) => {
                tracing::error!(%error, "request failed");
                Self::unavailable(Code::BlobStoreUnavailable, "The blob store does not work; try again soon.")
            }
        }
    }
}

impl From<QuotaExceeded> for Problem {
    fn from(exceeded: QuotaExceeded) -> Self {
        let (hint, used, most) = match exceeded {
            QuotaExceeded::OpenJobs { open, most } => ("Wait for a job to end, or cancel one.", open, most),
            QuotaExceeded::StoredBytes { stored, most, .. } => {
                ("Delete jobs, models or data sets that are no longer needed.", stored, most)
            }
        };
        let quota = serde_json::json!({"used": used, "most": most});
        let problem = Self::new(Code::QuotaExceeded, format!("The tenant's quota does not allow this: {exceeded}."))
            .hint(hint)
            .member("quota", quota);
        match exceeded {
            QuotaExceeded::OpenJobs { .. } => problem.header(RETRY_AFTER, HeaderValue::from(JOB_MAY_HAVE_ENDED_AFTER)),
            // Nothing is freed by waiting.
            QuotaExceeded::StoredBytes { .. } => problem,
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Rejected(rejection) => rejection.into(),
            UploadError::Blob(error) => error.into(),
            UploadError::Database(error) => error.into(),
            UploadError::Quota(exceeded) => exceeded.into(),
            UploadError::Panicked(cause) => Self::internal(cause),
        }
    }
}
