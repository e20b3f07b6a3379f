//! Measurements that are kept, so that a later job on the same model and data set need not make them again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::recovery::Screened;
use crate::report::Reused;
use crate::search::ranking::sensitivity::Sensitivity;

/// Measurements in terms of one job: groups and candidates are the job's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measurements {
    /// Of the stage `sensitivity`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitivities: Vec<Sensitivity>,
    /// Of the stage `screen`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screened: Vec<Screened>,
}

impl Measurements {
    /// For a job that knows nothing from before.
    pub const NONE: &'static Self = &Self { sensitivities: Vec::new(), screened: Vec::new() };

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sensitivities.len() + self.screened.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds others.
    pub fn extend(&mut self, more: Self) {
        self.sensitivities.extend(more.sensitivities);
        self.screened.extend(more.screened);
    }

    /// How many there are of each kind, for the report.
    pub fn counts(&self) -> Reused {
        Reused { sensitivities: self.sensitivities.len() as u64, screens: self.screened.len() as u64 }
    }
}

/// A measurement as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What was measured, `sensitivity/GROUP/WIDTH` or `screen/CONFIGURATION`.
    pub name: String,
    /// What came out.
    pub value: Value,
}

impl Kept {
    pub(super) fn new(name: String, value: &impl Serialize) -> Self {
        Self { name, value: serde_json::to_value(value).expect("plain data serialises") }
    }
}
