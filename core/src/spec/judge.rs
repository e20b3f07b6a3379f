//! An outside judge, who chooses among the finalists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::check_name;
use crate::rejection::Rejection;

/// The longest that a job waits for its judge, seconds: a week.
const LONGEST_TIMEOUT: u32 = 604_800;

/// A judge outside the service: the job waits before the export until a score was posted for every finalist, and the best of them is
/// exported. When the time is over before, the job's own metric chooses. The finalists are what was fully tuned: `search.top_k`
/// networks and the best baseline with `sacp`, one network with the other methods, whose score is recorded; where nothing is tuned, as
/// many of those that were screened. Networks that break `target.max_metric_drop` are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeSpec {
    /// Seconds that the judge has from when it is asked.
    #[schema(minimum = 1, maximum = 604_800)]
    pub timeout_s: u32,
    /// Whether the greater score is the better one, as with mAP; `false` for an error rate.
    pub higher_is_better: bool,
    /// What the judge measures, for the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
}

impl Default for JudgeSpec {
    fn default() -> Self {
        Self { timeout_s: 3600, higher_is_better: true, name: None }
    }
}

/// The rules for plain numbers and texts.
pub(super) fn check(
    judge: &JudgeSpec,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let timeout = judge.timeout_s;
    if !(1..=LONGEST_TIMEOUT).contains(&timeout) {
        let detail = format!("`judge.timeout_s` {timeout} is out of range: 1 to {LONGEST_TIMEOUT} seconds.");
        return invalid("judge.timeout_s", detail);
    }
    match &judge.name {
        Some(name) => check_name("judge.name", name, invalid),
        None => Ok(()),
    }
}
