//! `POST /v1/uploads`

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;

use super::{append, check_version, headers, refuse, standing};
use crate::access::{Caller, Scope};
use crate::database::DatabaseError;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::request::multipart::{FileBytes, clean_name, media_type};
use crate::http::{App, models};
use crate::id::UploadId;
use crate::upload::resumable::{Kind, MOST_OPEN, Record};

/// Begin a resumable upload (tus 1.0.0); the body may be its first piece. `Upload-Metadata` has `kind`, `model` or `dataset`, and may have
/// `filename` and, of a model, `input_shape`.
#[utoipa::path(post, path = "/v1/uploads", operation_id = "create_upload", tag = "uploads",
    params(
        ("tus-resumable" = String, Header, example = "1.0.0"),
        ("upload-length" = u64, Header, description = "Bytes of the whole file"),
        ("upload-metadata" = String, Header, example = "kind bW9kZWw=,filename bmV0LnB0",
         description = "Pairs of a name and a value in base64"),
    ),
    request_body(content = Option<FileBytes>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 201, headers(("location" = String), ("upload-offset" = u64), ("upload-expires" = String))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, Problem> {
    caller.require(Scope::Submit)?;
    check_version(request.headers())?;
    let record = announced(&caller, request.headers())?;
    check_quotas(&app, &caller, record.length).await?;
    app.resumable.create(&record).await.map_err(refuse)?;
    let place = format!("/v1/uploads/{}", record.id);
    let (received, end) = match media_type(request.headers()) == headers::PIECE {
        true => append::add(&app, &caller, record.clone(), 0, request).await?,
        false => (0, None),
    };
    // Its place is the answer here, also when the first piece was all of it.
    let standing = standing(&app, &record, received, end.as_ref().and(None)).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], standing).into_response())
}

/// What the headers say of the upload.
fn announced(caller: &Caller, headers: &HeaderMap) -> Result<Record, Problem> {
    let length = headers::number(headers, headers::UPLOAD_LENGTH)?;
    if length == 0 {
        return Err(Problem::invalid_parameter("upload-length", "0", "the bytes of the whole file, at least 1"));
    }
    let metadata = headers::metadata(headers)?;
    let text = |name: &str| metadata.get(name).map(String::as_str);
    let kind = text("kind").unwrap_or_default();
    let invalid = || Problem::invalid_parameter("upload-metadata kind", kind, "`model` or `dataset`");
    let input_shape = text("input_shape").map(str::to_owned);
    if let Some(shape) = input_shape.as_deref().filter(|shape| models::parse_shapes(shape).is_none()) {
        let allowed = "sizes such as `3,224,224`, or `[3,224,224],[10]`";
        return Err(Problem::invalid_parameter("upload-metadata input_shape", shape, allowed));
    }
    Ok(Record {
        id: UploadId::generate(),
        tenant: caller.tenant.clone(),
        kind: Kind::parse(kind).ok_or_else(invalid)?,
        name: clean_name(text("filename").or_else(|| text("name")))?,
        input_shape,
        length,
        created_at: OffsetDateTime::now_utc(),
        end: None,
    })
}

/// Refuses early what would be refused at its end; what counts is counted there.
async fn check_quotas(app: &App, caller: &Caller, length: u64) -> Result<(), Problem> {
    let open = app.resumable.count_open(&caller.tenant).await.map_err(Problem::internal)?;
    if open >= MOST_OPEN {
        let detail = format!("{open} uploads are not whole yet, and {MOST_OPEN} are allowed.");
        return Err(Problem::new(Code::QuotaExceeded, detail).hint("Go on with one, or end it with DELETE."));
    }
    let mut transaction = app.database.begin().await?;
    let fits = app.quotas.check_bytes(&mut transaction, caller, length).await?;
    transaction.rollback().await.map_err(DatabaseError::from)?;
    Ok(fits?)
}
