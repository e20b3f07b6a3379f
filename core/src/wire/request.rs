//! Worker to engine: what one task is to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::spec::JobSpec;
use crate::stage::Work;

/// The first frame, worker to engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The version that the worker speaks, [`super::PROTOCOL`].
    pub protocol: u32,
    /// What the job is to do; `None` for an inspection, whose work says everything.
    #[serde(default)]
    pub spec: Option<JobSpec>,
    /// What the task is to do.
    pub work: Work,
    /// Compute threads of the one pool.
    pub threads: usize,
    /// Where it computes.
    pub device: Device,
    /// The least seconds between two checkpoints; `None` when nobody would carry them on.
    #[serde(default)]
    pub checkpoint_interval_s: Option<f64>,
}

/// Where an engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// CUDA when libtorch has it and a GPU is there, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU.
    Cuda,
}
