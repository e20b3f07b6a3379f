//! Options about engines.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secateur_core::sandbox::Mode;
use secateur_core::wire::Device;

use super::CliError;
use crate::engine::{Accounts, Confinement, EngineBinary, EngineNotFound};
use crate::server::StartError;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceChoice {
    /// CUDA when there is a GPU, else the CPU
    Auto,
    /// The CPU, even where there is a GPU
    Cpu,
    /// A GPU, or an error where there is none
    Cuda,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SandboxChoice {
    /// Run nothing unless the kernel can confine it
    Require,
    /// Confine engines as far as the kernel can
    Auto,
    /// Confine nothing: for models of your own alone
    Off,
}

#[derive(Debug, Args)]
pub(super) struct EngineOptions {
    /// The engine's binary [default: secateur-engine beside this program]
    #[arg(long, env = "SECATEUR_ENGINE", value_name = "PATH")]
    engine: Option<PathBuf>,
    /// What engines compute on
    #[arg(long, env = "SECATEUR_DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// How engines, which run strangers' files, are confined
    #[arg(long, env = "SECATEUR_SANDBOX", value_name = "MODE", default_value = "auto")]
    sandbox: SandboxChoice,
    /// First of 64 user ids that engines take when root runs this [default: ids that belong to this process alone, from 1879048192 on]
    #[arg(long, env = "SECATEUR_SANDBOX_UIDS", value_name = "FIRST", value_parser = clap::value_parser!(u32).range(1..=0x7fff_ffff))]
    sandbox_uids: Option<u32>,
}

impl EngineOptions {
    pub(super) fn find(&self) -> Result<EngineBinary, CliError> {
        Ok(self.look_for().map_err(StartError::from)?)
    }

    /// The same for those who make something of it that there is none.
    pub(super) fn look_for(&self) -> Result<EngineBinary, EngineNotFound> {
        let mut engine = EngineBinary::find(self.engine.as_deref())?;
        engine.confinement = Confinement {
            mode: match self.sandbox {
                SandboxChoice::Require => Mode::Require,
                SandboxChoice::Auto => Mode::Auto,
                SandboxChoice::Off => Mode::Off,
            },
            accounts: Accounts::from(self.sandbox_uids),
            ..Confinement::default()
        };
        Ok(engine)
    }

    pub(super) fn device(&self) -> Device {
        match self.device {
            DeviceChoice::Auto => Device::Auto,
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda => Device::Cuda,
        }
    }
}
