//! How a cut network gets its quality back before it is trained.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::number::Positive;
use crate::rejection::Rejection;

/// What is done with a cut network before any training, where there is a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecoverySpec {
    /// Whether layers that lost inputs are fitted anew, in closed form, to what they gave in the original: `true`, `false`, or `"auto"`,
    /// which keeps for each network what is better on the validation split. Without, batch norm statistics are re-estimated.
    #[schema(value_type = ClosedFormSchema)]
    pub closed_form: ClosedForm,
    /// Samples that they are fitted on at the most; fewer where their activations do not fit into memory.
    #[schema(value_type = u64, minimum = 2, maximum = 65_536)]
    pub samples: Positive,
}

impl Default for RecoverySpec {
    fn default() -> Self {
        Self { closed_form: ClosedForm::Auto, samples: Positive::new(512) }
    }
}

/// Whether networks are repaired in closed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub enum ClosedForm {
    /// Every network.
    Always,
    /// No network.
    Never,
    /// Those that are better for it on the validation split.
    Auto,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Fixed(bool),
    Word(String),
}

/// `true`, `false` or `"auto"`.
#[derive(ToSchema)]
#[schema(as = ClosedForm)]
#[serde(untagged)]
#[allow(dead_code, reason = "it is there for the description of the API")]
pub(super) enum ClosedFormSchema {
    /// Always or never.
    Fixed(bool),
    /// `auto`.
    Word(String),
}

impl TryFrom<Wire> for ClosedForm {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        match wire {
            Wire::Fixed(true) => Ok(Self::Always),
            Wire::Fixed(false) => Ok(Self::Never),
            Wire::Word(word) if word == "auto" => Ok(Self::Auto),
            Wire::Word(word) => Err(format!("{word:?} is none of true, false and \"auto\"")),
        }
    }
}

impl From<ClosedForm> for Wire {
    fn from(choice: ClosedForm) -> Self {
        match choice {
            ClosedForm::Always => Self::Fixed(true),
            ClosedForm::Never => Self::Fixed(false),
            ClosedForm::Auto => Self::Word("auto".to_owned()),
        }
    }
}

/// The rules for plain numbers.
pub(super) fn check(
    recovery: &RecoverySpec,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let samples = recovery.samples.get();
    if !(2..=65_536).contains(&samples) {
        return invalid("recovery.samples", format!("`recovery.samples` {samples} is out of range: 2 to 65536."));
    }
    Ok(())
}
