//! How a job takes its turn: before which others, on which workers, and for how long. A server's queue reads this; `secateur prune`,
//! which runs one job at once, does not.

use serde::{Deserialize, Serialize};
use strum::{EnumMessage, VariantArray};
use utoipa::ToSchema;

use crate::rejection::Rejection;

/// The largest priority; the smallest is the same below zero.
const HIGHEST_PRIORITY: i32 = 100;

/// 30 days.
const LONGEST_RUNTIME: u32 = 30 * 24 * 3600;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum RequiredDevice {
    /// A CPU, also of a worker that has a GPU.
    Cpu,
    /// A GPU: workers without one leave the job alone.
    Gpu,
}

/// What a worker must have to take a task of the job. A job that no worker can take waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// Absent: whatever the worker has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<RequiredDevice>,
    /// Bytes of main memory that the worker has for each of its slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub memory_bytes: Option<u64>,
}

impl Requirements {
    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The rules for plain numbers.
pub(super) fn check(
    priority: i32,
    requires: Requirements,
    max_runtime_s: Option<u32>,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    if priority.abs() > HIGHEST_PRIORITY {
        let allowed = format!("-{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}");
        return invalid("priority", format!("`priority` {priority} is out of range: {allowed}."));
    }
    if let Some(memory) = requires.memory_bytes
        && !(1..=i64::MAX as u64).contains(&memory)
    {
        let detail = format!("`requires.memory_bytes` {memory} is out of range: 1 to {} bytes.", i64::MAX);
        return invalid("requires.memory_bytes", detail);
    }
    if let Some(seconds) = max_runtime_s
        && !(1..=LONGEST_RUNTIME).contains(&seconds)
    {
        let detail = format!("`max_runtime_s` {seconds} is out of range: 1 to {LONGEST_RUNTIME} seconds.");
        return invalid("max_runtime_s", detail);
    }
    Ok(())
}
