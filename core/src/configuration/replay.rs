//! Configurations by group name, replayable on the same model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The content of `config.json`: a configuration by group name, replayable on the same model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// Version of the format, which is 1.
    #[schema(minimum = 1, maximum = 1)]
    pub format: u32,
    /// Group name to the kept channels, ascending; a group that is not named keeps all.
    pub groups: BTreeMap<String, Vec<u32>>,
}

impl ReplayConfig {
    /// The one version of the format that is read and written.
    pub const FORMAT: u32 = 1;
}
