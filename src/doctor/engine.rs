//! The engine: found, started, its libtorch and its device, and what confines it.

use secateur_core::sandbox::Mode;

use super::{Finding, Installation};
use crate::engine::{self, EngineBinary};
use crate::server::StartError;

const LIBTORCH: &str = "libtorch";
const SANDBOX: &str = "sandbox";
/// A layer that no version has yet, so that nobody can do anything about it.
const NOT_MADE: &str = "cgroup";

pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    let engine = match &installation.engine {
        None => return vec![Finding::ok("engine", "none is needed: --slots is 0, and workers elsewhere have theirs")],
        Some(Err(missing)) => {
            let error = StartError::from(missing.clone());
            let hint = error.hint().unwrap_or_default();
            return vec![Finding::problem("engine", error.to_string(), hint)];
        }
        Some(Ok(engine)) => engine,
    };
    // Not in the scratch folder, which a server that starts empties.
    let scratch = std::env::temp_dir();
    let found = Finding::ok("engine", engine.path.display().to_string());
    let libtorch = match engine::about(engine, installation.device, &scratch).await {
        Ok(about) => {
            let versions: Vec<String> =
                about.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
            Finding::ok(LIBTORCH, format!("{}, computes on {}", versions.join(", "), about.device))
        }
        Err(error) => Finding::problem(
            LIBTORCH,
            error.to_string(),
            "Does LD_LIBRARY_PATH name libtorch's folder, and is the engine of this version? With --device cuda, is there a driver?",
        ),
    };
    vec![found, libtorch, sandbox(engine, installation, &scratch).await]
}

async fn sandbox(engine: &EngineBinary, installation: &Installation, scratch: &std::path::Path) -> Finding {
    let mode = engine.confinement.mode;
    if mode == Mode::Off {
        return Finding::warning(SANDBOX, "it is off", "Leave --sandbox off only where all models are your own.");
    }
    match engine::probe(engine, installation.device, scratch).await {
        Ok(sandbox) if sandbox.missing.iter().all(|layer| layer == NOT_MADE) => {
            Finding::ok(SANDBOX, sandbox.layers.join(", "))
        }
        Ok(sandbox) => {
            let missing: Vec<String> = sandbox
                .missing
                .iter()
                .map(|layer| match sandbox.reasons.get(layer) {
                    Some(reason) => format!("{layer} ({reason})"),
                    None => layer.clone(),
                })
                .collect();
            let says = format!("{}; without {}", sandbox.layers.join(", "), missing.join(", "));
            Finding::warning(
                SANDBOX,
                says,
                "docs/security.md says what each layer needs of the kernel and the container.",
            )
        }
        Err(error) => {
            let hint = "docs/security.md says what the sandbox needs; `--sandbox auto` goes on with the layers that there are.";
            Finding::problem(SANDBOX, error.to_string(), hint)
        }
    }
}
