//! What is to be done with a model.

use secateur_core::spec::{InspectionSpec, JobSpec, RequiredDevice};
use secateur_core::stage::Stage;
use serde::Serialize;
use serde_json::Value;

use super::JobKind;
use crate::table::task::{Needs, Terms};

/// What is to be done with a model. As JSON it is the spec alone; the kind is a column of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Order {
    /// A job of the user's.
    Prune(Box<JobSpec>),
    /// A look at the model.
    Inspect(InspectionSpec),
}

impl Order {
    /// Reads the spec of a job of this kind.
    ///
    /// # Errors
    /// It is no such spec.
    pub fn parse(kind: JobKind, spec: Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            JobKind::Prune => Self::Prune(serde_json::from_value(spec)?),
            JobKind::Inspect => Self::Inspect(serde_json::from_value(spec)?),
        })
    }

    /// What kind of a job it is.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Prune(_) => JobKind::Prune,
            Self::Inspect(_) => JobKind::Inspect,
        }
    }

    /// The stage that it begins with.
    pub fn first_stage(&self) -> Stage {
        match self {
            Self::Prune(_) => Stage::Import,
            Self::Inspect(_) => Stage::Inspect,
        }
    }

    /// What its tasks have in common for those who choose among tasks.
    pub fn terms(&self) -> Terms {
        let Some(spec) = self.spec() else { return Terms::default() };
        let gpu = spec.requires.device.map(|device| device == RequiredDevice::Gpu);
        Terms { priority: spec.priority, needs: Needs { gpu, memory_bytes: spec.requires.memory_bytes } }
    }

    /// The spec of a job that prunes.
    pub fn spec(&self) -> Option<&JobSpec> {
        match self {
            Self::Prune(spec) => Some(spec),
            Self::Inspect(_) => None,
        }
    }
}
