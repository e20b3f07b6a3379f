//! How an engine is confined: what its worker asks for, and what is in force in the end.
//!
//! The worker hands [`Settings`] to the engine as an argument of the process, beside the task and not in it: nothing that a user
//! sends ever gets there. The engine applies what the kernel can do, in the order of [`Layer`], and says so in a [`Sandbox`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What becomes of a task when the kernel cannot confine it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It runs only in a sandbox that is whole.
    Require,
    /// It runs with the layers that there are.
    #[default]
    Auto,
    /// It runs in none.
    Off,
}

/// How much a stage may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A stage that sees the user's code: its folder and nothing else, and less memory.
    Import,
    /// A stage that computes on graphs and tensors of our own making, or runs a program that an import let through.
    Task,
}

/// What a worker asks for; the default leaves the user and the ceilings as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How much of the sandbox must be in force.
    #[serde(default)]
    pub mode: Mode,
    /// The user and the group that the engine becomes; the worker's own when there is none.
    #[serde(default)]
    pub account: Option<u32>,
    /// What one engine may use up at most.
    #[serde(default)]
    pub ceilings: Ceilings,
}

/// What one engine may use up at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// Memory of its own; not kept with a GPU, whose driver reserves more addresses than there is memory.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Seconds of all its threads together.
    #[serde(default)]
    pub cpu_seconds: Option<u64>,
    /// Length of one file that it writes.
    #[serde(default)]
    pub file_bytes: Option<u64>,
    /// Threads of its user, where it has a user of its own.
    #[serde(default)]
    pub threads: Option<u64>,
}

/// One layer of the sandbox, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Every descriptor but the three pipes is closed.
    Descriptors,
    /// No core files, bounded files and descriptors, and the ceilings on time and on the number of threads.
    Limits,
    /// The ceiling on memory.
    MemoryCeiling,
    /// The kernel takes the engine first when memory runs out.
    OomScore,
    /// A memory controller of its own.
    Cgroup,
    /// A user namespace of its own.
    UserNamespace,
    /// A network namespace of its own, without any interface to the outside.
    NetworkNamespace,
    /// An IPC namespace of its own.
    IpcNamespace,
    /// A user that no other process on the machine has.
    Uid,
    /// None are left, nor can any be regained.
    Capabilities,
    /// A program that it starts gains nothing, and no other process of its user can read its memory.
    NoNewPrivileges,
    /// Files, ports, signals and abstract sockets, by the version of the kernel's interface.
    Landlock(i32),
    /// System calls.
    Seccomp,
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptors => formatter.write_str("descriptors"),
            Self::Limits => formatter.write_str("limits"),
            Self::MemoryCeiling => formatter.write_str("memory-ceiling"),
            Self::OomScore => formatter.write_str("oom-score"),
            Self::Cgroup => formatter.write_str("cgroup"),
            Self::UserNamespace => formatter.write_str("user-namespace"),
            Self::NetworkNamespace => formatter.write_str("network-namespace"),
            Self::IpcNamespace => formatter.write_str("ipc-namespace"),
            Self::Uid => formatter.write_str("uid"),
            Self::Capabilities => formatter.write_str("capabilities"),
            Self::NoNewPrivileges => formatter.write_str("no-new-privileges"),
            Self::Landlock(version) => write!(formatter, "landlock-{version}"),
            Self::Seccomp => formatter.write_str("seccomp"),
        }
    }
}

/// The sandbox of one engine as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    /// How much of the sandbox had to be in force.
    pub mode: Mode,
    /// Names of the layers in force, in the order in which they were applied, such as `landlock-7` and `seccomp`.
    pub layers: Vec<String>,
    /// Names of the layers that are not, and why.
    pub missing: Vec<String>,
    /// The reason why each missing layer is not in force, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, String>,
}

impl Sandbox {
    /// Whether a layer is in force, by its name without a version.
    pub fn has(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| {
            let rest = layer.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-') && rest[1..].parse::<u32>().is_ok())
        })
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        write!(formatter, "{} in force", list(&self.layers))?;
        match self.missing.is_empty() {
            true => Ok(()),
            false => write!(formatter, "; without {}", list(&self.missing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_found_by_its_name_whatever_its_version() {
        let layers = [Layer::NoNewPrivileges, Layer::Landlock(7)].map(|layer| layer.to_string()).into();
        let sandbox = Sandbox { layers, ..Sandbox::default() };
        assert!(sandbox.has("landlock") && sandbox.has("no-new-privileges"));
        assert!(!sandbox.has("no") && !sandbox.has("seccomp"));
    }

    #[test]
    fn settings_that_are_not_understood_are_refused() {
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
        assert!(serde_json::from_str::<Settings>(r#"{"mode": "of"}"#).is_err());
        assert!(serde_json::from_str::<Settings>(r#"{"mod": "off"}"#).is_err());
    }
}
