//! Options about engines.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secateur_core::task::Device;

use super::CliError;
use crate::engine::EngineBinary;
use crate::server::StartError;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceChoice {
    /// CUDA when there is a GPU, else the CPU
    Auto,
    Cpu,
    Cuda,
}

#[derive(Debug, Args)]
pub(super) struct EngineOptions {
    /// The engine's binary [default: secateur-engine beside this program]
    #[arg(long, env = "SECATEUR_ENGINE", value_name = "PATH")]
    engine: Option<PathBuf>,
    /// What engines compute on
    #[arg(long, env = "SECATEUR_DEVICE", default_value = "auto")]
    device: DeviceChoice,
}

impl EngineOptions {
    pub(super) fn find(&self) -> Result<EngineBinary, CliError> {
        EngineBinary::find(self.engine.as_deref()).map_err(|error| StartError::from(error).into())
    }

    pub(super) fn device(&self) -> Device {
        match self.device {
            DeviceChoice::Auto => Device::Auto,
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda => Device::Cuda,
        }
    }
}
