//! Numbers that carry their range.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A share that is removed, strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64, exclusive_minimum = 0.0, exclusive_maximum = 1.0)]
pub struct Reduction(f64);

impl Reduction {
    /// The share removed, above 0 and below 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Reduction {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if share > 0.0 && share < 1.0 {
            Ok(Self(share))
        } else {
            Err(format!(
                "{share} is not a reduction: the share removed must lie strictly between 0 and 1, 0.7 removes 70 %"
            ))
        }
    }
}

impl From<Reduction> for f64 {
    fn from(reduction: Reduction) -> f64 {
        reduction.0
    }
}

/// A whole number of at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schema(value_type = u64, minimum = 1)]
pub struct Positive(u64);

impl Positive {
    /// The number 1.
    pub const ONE: Self = Self(1);

    /// A positive number.
    ///
    /// # Panics
    /// The value is 0.
    pub const fn new(value: u64) -> Self {
        assert!(value >= 1, "a positive number is at least 1");
        Self(value)
    }

    /// The number, at least 1.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u64> for Positive {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        if (1..=1_000_000_000).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is out of range: it must be between 1 and 1000000000"))
        }
    }
}

impl From<Positive> for u64 {
    fn from(value: Positive) -> u64 {
        value.0
    }
}

/// A weight between 0 and 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64, minimum = 0.0, maximum = 1.0)]
pub struct UnitInterval(f64);

impl UnitInterval {
    /// A weight that is known when the program is written.
    ///
    /// # Panics
    /// When it is not between 0 and 1.
    pub const fn new(value: f64) -> Self {
        assert!(value >= 0.0 && value <= 1.0, "a weight lies between 0 and 1");
        Self(value)
    }

    /// The number, 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for UnitInterval {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is out of range: it must be between 0 and 1"))
        }
    }
}

impl From<UnitInterval> for f64 {
    fn from(value: UnitInterval) -> f64 {
        value.0
    }
}
