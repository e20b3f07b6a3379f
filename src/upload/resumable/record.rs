//! What is known of a resumable upload beside its bytes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::access::Tenant;
use crate::id::{DatasetId, ModelId, UploadId};

/// What an upload will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Model,
    Dataset,
}

impl Kind {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "model" => Some(Self::Model),
            "dataset" => Some(Self::Dataset),
            _ => None,
        }
    }
}

/// What became of an upload that was whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum End {
    Model {
        #[schema(value_type = String)]
        model_id: ModelId,
    },
    Dataset {
        #[schema(value_type = String)]
        dataset_id: DatasetId,
    },
    /// It is no model or data set that the server takes.
    Refused {
        /// As in the problem document of the request that completed it.
        code: String,
        detail: String,
    },
}

/// A resumable upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub id: UploadId,
    pub tenant: Tenant,
    pub kind: Kind,
    pub name: Option<String>,
    /// Of a model, for its inspection, as `POST /v1/models?input_shape=` takes it.
    pub input_shape: Option<String>,
    /// Bytes of the whole file.
    pub length: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Once it is whole.
    pub end: Option<End>,
}
