//! What an inspection is to look at.

use serde::{Deserialize, Serialize};

use super::{InputShape, InputSpec, inputs_of, limits};
use crate::rejection::{Code, Rejection};

/// What an inspection is to do; it prunes nothing, so a shape is all that it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectionSpec {
    /// The shape of the inputs; `None` where the model itself says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_shape: Option<InputShape>,
    /// Shape, type and range of each input, instead of the shape alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<InputSpec>>,
}

impl InspectionSpec {
    /// An inspection with what somebody said of the inputs.
    ///
    /// # Errors
    /// [`Code::InvalidSpec`] when a size of a shape is out of range, or both are given.
    pub fn new(input_shape: Option<InputShape>, inputs: Option<Vec<InputSpec>>) -> Result<Self, Rejection> {
        let invalid = |field: &str, detail: String| Err(Rejection::new(Code::InvalidSpec, detail).at(field));
        limits::check_inputs(input_shape.as_ref(), inputs.as_deref(), invalid)?;
        Ok(Self { input_shape, inputs })
    }

    /// What is said of the model's inputs; `None` where the model itself tells.
    pub fn model_inputs(&self) -> Option<Vec<InputSpec>> {
        inputs_of(self.inputs.as_deref(), self.input_shape.as_ref())
    }
}
