//! A model for NVIDIA's Triton Inference Server, written beside the pruned file.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::plain_text::escaped_within;
use crate::rejection::Rejection;

const LONGEST_NAME: usize = 200;
const LARGEST_BATCH: u32 = 65_536;

/// The artifact `triton.zip`: the pruned file with a `config.pbtxt` for NVIDIA's Triton Inference Server, to be unpacked in a model
/// repository. The job is refused where Triton's backend for PyTorch does not take what the model takes, or what it returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TritonSpec {
    /// The model's name in the repository: letters, digits, `_`, `-` and `.`, which is not the first.
    #[schema(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
    pub name: String,
    /// As many samples as Triton may put together into one call.
    #[schema(minimum = 1, maximum = 65_536)]
    pub max_batch_size: u32,
}

impl Default for TritonSpec {
    fn default() -> Self {
        Self { name: "model".to_owned(), max_batch_size: 64 }
    }
}

/// The rules for the name and the number.
pub(super) fn check(
    TritonSpec { name, max_batch_size }: &TritonSpec,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('.') || !name.chars().all(is_allowed) {
        let shown = escaped_within(name, LONGEST_NAME);
        return invalid(
            "triton.name",
            format!(
                "`triton.name` `{shown}` is no name of a model: 1 to {LONGEST_NAME} letters, digits, `_`, `-` and `.` are \
                 allowed, and the first is no `.`."
            ),
        );
    }
    if !(1..=LARGEST_BATCH).contains(max_batch_size) {
        return invalid(
            "triton.max_batch_size",
            format!("`triton.max_batch_size` {max_batch_size} is out of range: 1 to {LARGEST_BATCH}."),
        );
    }
    Ok(())
}
