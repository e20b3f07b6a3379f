//! `POST /v1/uploads/presigned`, and what becomes of the file that was put there.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::access::{Caller, Scope, Tenant};
use crate::blob::StagingError;
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::answer::quote::{LONGEST_VALUE, cut};
use crate::http::request::multipart::{NamedUpload, clean_name, receive_file, refuse};
use crate::http::request::parameters::Parameters;
use crate::id::UploadId;
use crate::upload::UploadError;
use crate::upload::presigned::{MOST_OPEN, PresignError, Presigned};

/// The parameter that names one.
pub(crate) const PARAMETER: &str = "upload";

/// A place in the bucket for one file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresignedUpload)]
pub(crate) struct PresignedOut {
    /// For `?upload=` of `POST /v1/models` or `POST /v1/datasets`.
    #[schema(value_type = String)]
    id: UploadId,
    /// Where the file is to be put by `PUT`, without a key of this server.
    url: String,
    /// When the URL stops working. What was put there waits for a day.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// Of the file at most.
    max_bytes: u64,
}

/// A URL of the bucket to put one file to, where the server keeps its files in a bucket. Afterwards `POST /v1/models?upload=ID` or
/// `POST /v1/datasets?upload=ID` with an empty body has it checked and takes it over.
#[utoipa::path(post, path = "/v1/uploads/presigned", operation_id = "presign_upload", tag = "uploads",
    responses(
        (status = 201, body = PresignedOut),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn presign(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, [(header::HeaderName, &'static str); 1], Json<PresignedOut>), Problem> {
    caller.require(Scope::Submit)?;
    let Presigned { id, url, expires_at, max_bytes } =
        app.uploads.presign(&caller.tenant, &app.staging).await.map_err(|error| match error {
            PresignError::NoBucket => {
                Problem::new(Code::NoBucket, "This server keeps files in a folder, not in a bucket.")
                    .hint("Send the file to `POST /v1/models` or `POST /v1/datasets`, or in pieces to `/v1/uploads`.")
            }
            PresignError::TooMany(open) => Problem::new(
                Code::QuotaExceeded,
                format!("{open} presigned uploads have a URL that still works or a file that was not used, and {MOST_OPEN} are allowed."),
            )
            .hint("Use them with `?upload=`: one that was used counts for an hour, another for a day."),
            PresignError::Upload(error) => error.into(),
        })?;
    let out = PresignedOut { id, url, expires_at, max_bytes };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(out)))
}

/// A file from a request: its body, or what `?upload=` names.
pub(crate) struct Arrived {
    pub(crate) file: NamedUpload,
    presigned: Option<UploadId>,
}

impl Arrived {
    /// # Errors
    /// The file does not come whole, or nothing was put where it should be.
    pub(crate) async fn receive(
        app: &App,
        tenant: &Tenant,
        parameters: &Parameters,
        request: Request,
    ) -> Result<Self, Problem> {
        let name = parameters.text("name");
        let Some(text) = parameters.text(PARAMETER) else {
            return Ok(Self { file: receive_file(&app.staging, name, request).await?, presigned: None });
        };
        let length = request.headers().get(header::CONTENT_LENGTH);
        if length.is_some_and(|length| length != "0") || request.headers().contains_key(header::TRANSFER_ENCODING) {
            return Err(Problem::invalid_parameter(
                PARAMETER,
                text,
                "without a body: the file was put into the bucket",
            ));
        }
        let missing = || {
            let detail =
                format!("Nothing was put at the URL of upload `{}`, or it was used already.", cut(text, LONGEST_VALUE));
            Problem::new(Code::UploadNotFound, detail)
        };
        let id: UploadId = text.parse().map_err(|_| missing())?;
        match app.uploads.fetch_presigned(tenant, id, &app.staging).await {
            Ok(Some(staged)) => Ok(Self { file: NamedUpload { staged, name: clean_name(name)? }, presigned: Some(id) }),
            Ok(None) => Err(missing()),
            Err(error) => {
                if matches!(error, StagingError::TooLarge { .. }) {
                    forget(app, tenant, id).await;
                }
                Err(refuse(error, |error| UploadError::from(error).into()))
            }
        }
    }

    /// Parts with what came from the bucket, which [`Origin::settle`] frees.
    pub(crate) fn into_parts(self) -> (NamedUpload, Origin) {
        (self.file, Origin(self.presigned))
    }
}

/// Where a file came from.
pub(crate) struct Origin(Option<UploadId>);

impl Origin {
    /// Frees what was put into the bucket unless the same request may succeed later.
    pub(crate) async fn settle<T>(
        self,
        app: &App,
        tenant: &Tenant,
        accepted: Result<T, UploadError>,
    ) -> Result<T, Problem> {
        if let Some(id) = self.0
            && matches!(accepted, Ok(_) | Err(UploadError::Rejected(_)))
        {
            forget(app, tenant, id).await;
        }
        Ok(accepted?)
    }
}

/// What cannot be freed now is with everything else that is loose.
async fn forget(app: &App, tenant: &Tenant, id: UploadId) {
    if let Err(error) = app.uploads.forget_presigned(tenant, id).await {
        tracing::warn!(%error, upload = %id, "a presigned upload could not be freed");
    }
}
