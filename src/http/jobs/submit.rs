//! `POST /v1/jobs`: everything in one form, or a spec that names what was uploaded before.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secateur_core::rejection::{Code as RejectionCode, Rejection};
use secateur_core::spec::{JobSpec, WebhookSpec, check_text};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use utoipa::ToSchema;

use super::{JobOut, clone};
use crate::access::{Caller, Scope};
use crate::http::App;
use crate::http::answer::problem::{Code, Problem, ProblemDocument};
use crate::http::answer::quote::{LONGEST_VALUE, cut};
use crate::http::request::body::{parse_json, read_body};
use crate::http::request::id::{ResourceId, not_found, require_own};
use crate::http::request::multipart::{
    Form, NamedUpload, media_type, missing_part, read_text_field, receive_field, refuse_too_long, unsupported,
};
use crate::http::request::parameters::header_text;
use crate::id::{DatasetId, JobId, ModelId};
use crate::queue::{NewSubmission, Submitted};
use crate::table::dataset::{self, Dataset};
use crate::table::job;
use crate::upload::check_fit;
use crate::webhook::NotAllowed;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LONGEST_KEY: usize = 255;

/// A job spec with what it is to work on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = JobIn)]
pub(crate) struct JobIn {
    /// May be left out with `clone_of`: it is that job's then.
    #[schema(value_type = Option<String>)]
    #[allow(dead_code, reason = "only described: the fields are taken out of the JSON by hand")]
    model_id: Option<ModelId>,
    /// The same; `null` is none.
    #[schema(value_type = Option<String>)]
    #[allow(dead_code, reason = "only described")]
    dataset_id: Option<DatasetId>,
    /// An earlier job: its spec, model and data set are taken where this says nothing else. Objects are merged field by field, `null` takes a
    /// field back to its default; `target` is taken whole, and `fine_tune: null` prunes only.
    #[schema(value_type = Option<String>)]
    #[allow(dead_code, reason = "only described")]
    clone_of: Option<JobId>,
    #[serde(flatten)]
    #[allow(dead_code, reason = "only described")]
    spec: JobSpec,
}

/// The one-shot form.
#[derive(Debug, ToSchema)]
pub(crate) struct JobForm {
    /// A TorchScript archive.
    #[schema(value_type = String, format = Binary)]
    #[allow(dead_code, reason = "only described")]
    model: Vec<u8>,
    /// `.npz`, `.safetensors`, or pictures, recordings and tables as docs/data.md describes them.
    #[schema(value_type = Option<String>, format = Binary)]
    #[allow(dead_code, reason = "only described")]
    dataset: Option<Vec<u8>>,
    #[allow(dead_code, reason = "only described")]
    spec: JobSpec,
}

/// Submit a job: a form with `model`, `spec` and maybe `dataset`, or JSON that names what was uploaded before.
#[utoipa::path(post, path = "/v1/jobs", operation_id = "submit_job", tag = "jobs",
    params(("idempotency-key" = Option<String>, Header,
            description = "The same key with the same request gives the same job")),
    request_body(content((JobForm = "multipart/form-data"), (JobIn = "application/json"))),
    responses(
        (status = 202, body = JobOut, headers(("location" = String), ("idempotent-replayed" = Option<String>))),
        (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn submit(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, Problem> {
    caller.require(Scope::Submit)?;
    let idempotency_key = idempotency_key(request.headers())?;
    let submission = match media_type(request.headers()).as_str() {
        "multipart/form-data" => from_form(&app, caller, request, idempotency_key).await?,
        "application/json" => from_json(&app, caller, request, idempotency_key).await?,
        other => return Err(unsupported(other, "`multipart/form-data` or `application/json`")),
    };
    let (id, replayed) = match app.queue.submit(submission, app.quotas).await? {
        Submitted::Created(id) => (id, false),
        Submitted::Replayed(id) => (id, true),
        Submitted::KeyReused(id) => {
            let detail = format!("The key was used for another request; it made job `{id}`.");
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        Submitted::QuotaExceeded(exceeded) => return Err(exceeded.into()),
        Submitted::NoSuchModel(id) => return Err(not_found::<ModelId>(id)),
        Submitted::NoSuchDataset(id) => return Err(not_found::<DatasetId>(id)),
    };
    let job = JobOut::find(&app, id).await?;
    let location = [(header::LOCATION, format!("/v1/jobs/{id}"))];
    let mut response = (StatusCode::ACCEPTED, location, Json(job)).into_response();
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn from_json(
    app: &App,
    caller: Caller,
    request: Request,
    idempotency_key: Option<String>,
) -> Result<NewSubmission, Problem> {
    let body = read_body(request.into_body()).await?;
    let body = std::str::from_utf8(&body)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("The body is not valid JSON: {error}.")))?;
    check_text(body)?;
    // The values are not looked into: a configuration that is replayed may be long.
    let mut fields: BTreeMap<String, &RawValue> = parse_json(body.as_bytes())?;
    let earlier = match take_id::<JobId>(&mut fields, "clone_of")? {
        Some(id) => Some(job::find(app.database.pool(), require_own(app, &caller, id).await?).await?),
        None => None,
    };
    let earlier = earlier.flatten();
    let model_id = take_id::<ModelId>(&mut fields, "model_id")?.or(earlier.as_ref().map(|job| job.model_id));
    let model_id = model_id.ok_or_else(|| {
        let detail = "`model_id` is missing: the id of a model that was uploaded before.";
        Rejection::new(RejectionCode::InvalidSpec, detail)
            .at("model_id")
            .hint("Upload one with POST /v1/models, or send model and spec at once in a multipart form.")
    })?;
    let dataset_id = match fields.contains_key("dataset_id") {
        true => take_id::<DatasetId>(&mut fields, "dataset_id")?,
        false => earlier.as_ref().and_then(|job| job.dataset_id),
    };
    let spec = match earlier.as_ref().and_then(|job| job.order.spec()) {
        Some(spec) => clone::changed(spec, &fields),
        None => serde_json::to_string(&fields),
    };
    let spec = parse_spec(app, &spec.expect("what was read as JSON can be written"))?;
    let clone_of = earlier.map(|job| job.id);

    let model_id = require_own(app, &caller, model_id).await?;
    let dataset = match dataset_id {
        Some(id) => {
            let id = require_own(app, &caller, id).await?;
            let dataset = dataset::find(app.database.pool(), id).await?;
            Some(dataset.ok_or_else(|| not_found::<DatasetId>(id))?)
        }
        None => None,
    };
    check_fit(&spec, dataset.as_ref().map(|dataset| &dataset.summary))?;
    Ok(NewSubmission { caller, spec, model_id, dataset_id, clone_of, idempotency_key })
}

async fn from_form(
    app: &App,
    caller: Caller,
    request: Request,
    idempotency_key: Option<String>,
) -> Result<NewSubmission, Problem> {
    refuse_too_long(&app.staging, request.headers(), 2)?;
    let mut form = Form::open(request).await?;
    let (mut model, mut dataset, mut spec) = (None, None, None);
    while let Some(field) = form.next(&["model", "dataset", "spec"]).await? {
        match field.name() {
            Some("model") => model = Some(receive_field(&app.staging, field).await?),
            Some("dataset") => dataset = Some(receive_field(&app.staging, field).await?),
            _ => spec = Some(parse_spec(app, &read_text_field(field).await?)?),
        }
    }
    let spec = spec.ok_or_else(|| missing_part("spec", "the job spec as JSON"))?;
    let model = model.ok_or_else(|| missing_part("model", "a TorchScript archive"))?;
    let model = app.uploads.accept_model(&caller, model.staged, model.name.as_deref()).await?;
    let dataset = match dataset {
        Some(upload) => Some(accept_dataset(app, &caller, upload).await?),
        None => None,
    };
    check_fit(&spec, dataset.as_ref().map(|dataset| &dataset.summary))?;
    let dataset_id = dataset.map(|dataset| dataset.id);
    Ok(NewSubmission { caller, spec, model_id: model.id, dataset_id, clone_of: None, idempotency_key })
}

async fn accept_dataset(app: &App, caller: &Caller, upload: NamedUpload) -> Result<Dataset, Problem> {
    Ok(app.uploads.accept_dataset(caller, upload.staged, upload.name.as_deref()).await?)
}

/// A spec that this server can keep and carry out: Postgres takes no NUL in texts, and webhooks are not sent everywhere.
fn parse_spec(app: &App, json: &str) -> Result<JobSpec, Problem> {
    serde_json::from_str::<serde::de::IgnoredAny>(json)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("The job spec is not valid JSON: {error}.")))?;
    let spec = JobSpec::from_json(json)?;
    if serde_json::to_string(&spec).is_ok_and(|spec| spec.contains("\\u0000")) {
        let detail = "The job spec has a text with the character U+0000, which is not allowed.";
        return Err(Rejection::new(RejectionCode::InvalidSpec, detail).into());
    }
    if let Some(url) = spec.webhook.as_ref().and_then(WebhookSpec::parsed_url) {
        app.receivers.check(&url).map_err(|reason| webhook_not_allowed(&url, reason))?;
    }
    Ok(spec)
}

fn webhook_not_allowed(url: &Url, reason: NotAllowed) -> Rejection {
    let shown = cut(url.as_str(), LONGEST_VALUE);
    let detail = format!(
        "`webhook.url` is `{shown}`, to which this server does not send: {reason}. Public addresses by `https` on port 443 are allowed."
    );
    Rejection::new(RejectionCode::InvalidSpec, detail)
        .at("webhook.url")
        .hint("The server's operator allows others with `--webhook-allow`.")
}

/// Takes an id out of the fields. A malformed one is answered like an unknown one.
fn take_id<I: ResourceId>(fields: &mut BTreeMap<String, &RawValue>, name: &str) -> Result<Option<I>, Problem> {
    let Some(raw) = fields.remove(name) else { return Ok(None) };
    match serde_json::from_str(raw.get()) {
        Ok(None) => Ok(None),
        Ok(Some(text)) => {
            let text: String = text;
            text.parse().map(Some).map_err(|_| not_found::<I>(cut(&text, LONGEST_VALUE)))
        }
        Err(_) => {
            let other = cut(raw.get(), LONGEST_VALUE);
            let detail = format!("`{name}` is {other}: it must be the id of a {}.", I::WHAT);
            Err(Rejection::new(RejectionCode::InvalidSpec, detail).at(name).into())
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = header_text(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    if key.is_empty() || key.len() > LONGEST_KEY {
        let allowed = format!("1 to {LONGEST_KEY} visible ASCII characters");
        return Err(Problem::invalid_parameter("idempotency-key", key, &allowed));
    }
    Ok(Some(key.to_owned()))
}
