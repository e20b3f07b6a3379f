//! `/v1/datasets`

pub(super) mod delete;
pub(super) mod list;
pub(super) mod show;
pub(super) mod upload;

use secateur_core::dataset::DatasetSummary;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::id::DatasetId;
use crate::table::dataset::Dataset;

/// An uploaded data set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DatasetOut {
    #[schema(value_type = String, example = "dst_0198c2f4a7b17c3e8d21f00dcafe1234")]
    id: DatasetId,
    name: Option<String>,
    /// Hexadecimal.
    sha256: String,
    bytes: u64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Arrays, splits and classes.
    summary: DatasetSummary,
}

/// A page of data sets, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DatasetPage {
    items: Vec<DatasetOut>,
    /// `after` of the next page; `null` on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<DatasetId>,
}

impl From<Dataset> for DatasetOut {
    fn from(dataset: Dataset) -> Self {
        let Dataset { id, name, sha256, bytes, blob: _, summary, created_at } = dataset;
        Self { id, name, sha256: sha256.to_string(), bytes, created_at, summary }
    }
}
