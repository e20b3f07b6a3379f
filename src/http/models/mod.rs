//! `/v1/models`

pub(super) mod delete;
pub(super) mod inspect;
pub(super) mod list;
pub(super) mod show;
pub(super) mod upload;

use secateur_core::inspection::ModelSummary;
use secateur_core::spec::{InputShape, InputSpec};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::answer::problem::Problem;
use crate::http::request::id::not_found;
use crate::id::ModelId;
use crate::job::{JobError, JobStatus};
use crate::table::model::{self, Inspection, Model};

/// An uploaded model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelOut {
    #[schema(value_type = String, example = "mdl_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: ModelId,
    name: Option<String>,
    /// Hexadecimal.
    sha256: String,
    bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Layers, groups, costs, limits and what keeps more from going; `null` until an inspection or a job has imported the model.
    summary: Option<ModelSummary>,
    /// The latest inspection that was asked for; an upload asks for one.
    inspection: Option<InspectionOut>,
}

/// A look at a model without pruning it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InspectionOut {
    status: JobStatus,
    /// When `status` is `failed`: why the model cannot be pruned, or what is missing to say.
    error: Option<JobError>,
}

/// What an inspection needs to know.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectionIn {
    /// As in a job spec; a model that was traced brings its own.
    #[serde(default)]
    input_shape: Option<InputShape>,
    /// As in a job spec, instead of `input_shape`.
    #[serde(default)]
    inputs: Option<Vec<InputSpec>>,
}

/// A page of models, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelPage {
    items: Vec<ModelOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<ModelId>,
}

impl From<Model> for ModelOut {
    fn from(model: Model) -> Self {
        let Model { id, name, sha256, bytes, blob: _, summary, inspection, created_at } = model;
        let inspection = inspection.map(|Inspection { job: _, status, error }| InspectionOut { status, error });
        Self { id, name, sha256: sha256.to_string(), bytes, created_at, summary, inspection }
    }
}

async fn find(app: &App, id: ModelId) -> Result<Model, Problem> {
    let model = model::find(app.database.pool(), id).await?;
    model.ok_or_else(|| not_found::<ModelId>(id))
}

/// `3,224,224`, or for several inputs `[3,224,224],[10]`.
pub(super) fn parse_shapes(text: &str) -> Option<InputShape> {
    if text.trim().is_empty() {
        return None;
    }
    serde_json::from_str(&format!("[{text}]")).or_else(|_| serde_json::from_str(text)).ok()
}
