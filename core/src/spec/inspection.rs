//! What an inspection is to look at.

use serde::{Deserialize, Serialize};

use super::{InputShape, limits};
use crate::rejection::{Code, Rejection};

/// What an inspection is to do; it prunes nothing, so a shape is all that it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectionSpec {
    /// The shape of the inputs; `None` where the model itself says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_shape: Option<InputShape>,
}

impl InspectionSpec {
    /// An inspection with a shape that somebody gave.
    ///
    /// # Errors
    /// [`Code::InvalidSpec`] when a size of the shape is out of range.
    pub fn new(input_shape: Option<InputShape>) -> Result<Self, Rejection> {
        let invalid = |field: &str, detail: String| Err(Rejection::new(Code::InvalidSpec, detail).at(field));
        if let Some(shape) = &input_shape {
            limits::check_shape(shape, invalid)?;
        }
        Ok(Self { input_shape })
    }
}
