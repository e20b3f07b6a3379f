//! `secateur doctor`: looks at everything that a server needs, and says of each what is wrong and what to do.
//!
//! It changes nothing but a blob of its own, which it removes, and a folder of its own for the engine's probe. It works beside a running server,
//! whose private database it reaches through the server's socket, and where none runs: it starts no cluster, since that is what would hide
//! why one does not start. Each check is a file; none fails, what goes wrong is a [`Finding`].

mod blobs;
mod database;
mod disks;
mod engine;
mod machine;

use std::path::PathBuf;

use secateur_core::wire::Device;
use serde::Serialize;

use crate::engine::{EngineBinary, EngineNotFound};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, and might not for long or not well.
    Warning,
    /// A server would not start, or would refuse work.
    Problem,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, such as `database`.
    pub about: &'static str,
    pub verdict: Verdict,
    pub says: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Ok, says: says.into(), hint: None }
    }

    fn warning(about: &'static str, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Warning, says: says.into(), hint: Some(hint.into()) }
    }

    fn problem(about: &'static str, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Problem, says: says.into(), hint: Some(hint.into()) }
    }
}

/// What a server would be started with.
#[derive(Debug)]
pub struct Installation {
    pub data_folder: PathBuf,
    pub database_url: Option<String>,
    pub blobs_url: Option<String>,
    pub reserve_bytes: u64,
    pub slots: usize,
    /// `None` for a server without slots.
    pub engine: Option<Result<EngineBinary, EngineNotFound>>,
    pub device: Device,
}

/// Looks at everything, from the bottom up.
pub async fn examine(installation: &Installation) -> Vec<Finding> {
    let mut findings = machine::examine(installation);
    findings.extend(disks::examine(installation));
    findings.extend(database::examine(installation).await);
    findings.extend(blobs::examine(installation).await);
    findings.extend(engine::examine(installation).await);
    findings
}

/// Bytes as a person says them.
fn human(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{bytes} bytes"),
        0x10_0000..0x4000_0000 => format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_the_unit_that_fits() {
        assert_eq!([5, 3 << 20, 5 << 29].map(human), ["5 bytes", "3 MiB", "2.5 GiB"]);
    }

    #[test]
    fn a_problem_is_worse_than_a_warning() {
        assert!(Verdict::Problem > Verdict::Warning && Verdict::Warning > Verdict::Ok);
    }
}
