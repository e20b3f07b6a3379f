//! What this machine can confine, asked of an engine that does it and says so.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use secateur_core::sandbox::{Ceilings, Mode, Sandbox};
use secateur_core::wire::Device;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::{EngineBinary, Scratch};

/// libtorch is loaded in less than a second, from a cold disk in some.
const PATIENCE: Duration = Duration::from_mins(1);

/// Ceilings that every machine can set.
const CEILINGS: Ceilings =
    Ceilings { memory_bytes: Some(1 << 40), cpu_seconds: Some(600), file_bytes: Some(1 << 30), threads: Some(256) };

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(String);

/// The layers that an engine on this machine has, in a folder like a task's that is made in `scratch`.
pub async fn probe(engine: &EngineBinary, device: Device, scratch: &Path) -> Result<Sandbox, ProbeError> {
    if engine.confinement.mode == Mode::Off {
        return Ok(Sandbox { mode: Mode::Off, ..Sandbox::default() });
    }
    ask(engine, "--probe", device, scratch).await
}

/// What an engine answers to a question, in a folder like a task's that is made in `scratch`.
pub(super) async fn ask<T: DeserializeOwned>(
    engine: &EngineBinary,
    question: &str,
    device: Device,
    scratch: &Path,
) -> Result<T, ProbeError> {
    let confinement = &engine.confinement;
    let failed = |what: &str, error: std::io::Error| ProbeError(format!("{what}: {error}"));
    let folder = Scratch::create(scratch, "probe-").map_err(|error| failed("a folder for the probe", error))?;
    let account = confinement.prepare(folder.path()).map_err(|error| failed("a user for the probe", error))?;
    let device = serde_json::to_value(device).expect("a device is JSON");
    let child = Command::new(&engine.path)
        .arg("--sandbox")
        .arg(confinement.settings(account.as_ref(), CEILINGS))
        .arg(question)
        .arg(device.as_str().expect("a device is a word"))
        .current_dir(folder.path())
        .env_clear()
        .envs(engine.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(PATIENCE, child).await {
        Ok(output) => output.map_err(|error| failed(&engine.path.display().to_string(), error))?,
        Err(_) => return Err(ProbeError("the engine did not answer".to_owned())),
    };
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        ProbeError(format!("the engine ended with {} and said {:?}", output.status, said.trim_end()))
    })
}
