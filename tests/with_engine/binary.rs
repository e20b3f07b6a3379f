//! The engine's binary, which `cargo build --bins` puts beside the server's.

use std::path::Path;

use secateur::engine::EngineBinary;

/// The built engine.
///
/// # Panics
/// When it is not built: a job cannot be tested without it.
pub(super) fn engine() -> EngineBinary {
    let beside = Path::new(env!("CARGO_BIN_EXE_secateur")).with_file_name("secateur-engine");
    let named = std::env::var_os("SECATEUR_ENGINE").map(Into::into);
    let path = named.unwrap_or(beside);
    EngineBinary::find(Some(&path)).unwrap_or_else(|error| {
        panic!("{error}: build it with `cargo build --workspace --bins` first, as `make test` does")
    })
}

/// The engine with a planned fault, such as `abort:screen`.
pub(super) fn engine_with_fault(fault: &str) -> EngineBinary {
    let mut engine = engine();
    engine.environment.retain(|(name, _)| name != "SECATEUR_ENGINE_FAULT");
    engine.environment.push(("SECATEUR_ENGINE_FAULT".into(), fault.into()));
    engine
}
