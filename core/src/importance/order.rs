//! What orders the channels inside a group.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Criterion, Normalisation};

/// The canonical order of `sacp`: every configuration of its search, its sensitivities and its greedy allocation keep the
/// channels of each group that come first in it. The classical methods have criteria of their own, with which they enter the
/// screen as baselines too: L1 for `uniform` and `global_l1`, L2 for `global_l2`, both without normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImportanceSpec {
    /// The measure of one channel's importance.
    pub criterion: Criterion,
    /// The scale on which channels of different groups are compared.
    pub normalisation: Normalisation,
}

impl Default for ImportanceSpec {
    fn default() -> Self {
        Self::plain(Criterion::Reconstruction)
    }
}

impl ImportanceSpec {
    /// A criterion without normalisation.
    pub fn plain(criterion: Criterion) -> Self {
        Self { criterion, normalisation: Normalisation::None }
    }
}
