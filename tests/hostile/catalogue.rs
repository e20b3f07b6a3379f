//! The archives and what is known of each.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use super::canary::Canaries;
use crate::harness::make_passable;

const NAMES: &str = "SECATEUR_HOSTILE";

/// What an attack is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    Creates,
    Overwrites,
    Reads,
    Memory,
    Time,
    Speaks,
    Confuses,
    Reaches,
}

impl Effect {
    pub(crate) const ALL: [Self; 8] = [
        Self::Creates,
        Self::Overwrites,
        Self::Reads,
        Self::Memory,
        Self::Time,
        Self::Speaks,
        Self::Confuses,
        Self::Reaches,
    ];
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Attack {
    pub name: String,
    pub family: String,
    #[serde(rename = "attack")]
    pub says: String,
    pub effect: Effect,
    /// Whether it shows in the file, so that pre-flight has to refuse it.
    pub preflight: bool,
    /// Whether libtorch has done it by the time that it has loaded the file.
    pub at_load: bool,
}

/// The archives in a folder of their own, with their canaries.
pub(crate) struct Fixtures {
    pub attacks: Vec<Attack>,
    folder: TempDir,
}

impl Fixtures {
    /// All of them, or those that `SECATEUR_HOSTILE` names between commas.
    pub(crate) fn write() -> Self {
        let named = std::env::var(NAMES).unwrap_or_default();
        let names: Vec<&str> = named.split(',').filter(|name| !name.is_empty() && *name != "all").collect();
        let mut fixtures = Self::write_all();
        fixtures.attacks.retain(|attack| names.is_empty() || names.contains(&attack.name.as_str()));
        fixtures
    }

    /// For columns in which each attack costs an engine: those that touch files and a third of the rest, where nobody asked for more.
    pub(crate) fn write_for_engines() -> Self {
        let mut fixtures = Self::write();
        if std::env::var_os(NAMES).is_none() && !super::table::is_written_anew() {
            let mut others = 0..;
            let touches_files = |attack: &Attack| attack.at_load || attack.family == "files";
            fixtures
                .attacks
                .retain(|attack| touches_files(attack) || others.next().is_some_and(|number| number % 3 == 0));
        }
        fixtures
    }

    fn write_all() -> Self {
        let folder = tempfile::Builder::new().prefix("secateur-hostile-").tempdir().unwrap();
        make_passable(folder.path());
        let (archives, canaries) = (folder.path().join("archives"), folder.path().join("canaries"));
        std::fs::create_dir(&archives).unwrap();
        std::fs::create_dir(&canaries).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/make_fixtures.py");
        let written = Command::new("python3").args([&script, &archives, &canaries]).output();
        let written = written.expect("python3 is on the path");
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        let catalogue = std::fs::read(archives.join("catalogue.json")).unwrap();
        Self { attacks: serde_json::from_slice(&catalogue).unwrap(), folder }
    }

    pub(crate) fn attack(&self, name: &str) -> &Attack {
        self.attacks.iter().find(|attack| attack.name == name).expect("a name of the catalogue")
    }

    pub(crate) fn path(&self, attack: &Attack) -> PathBuf {
        self.archive(&attack.name)
    }

    pub(crate) fn honest(&self) -> PathBuf {
        self.archive("honest")
    }

    pub(crate) fn canaries(&self, attack: &Attack) -> Canaries {
        Canaries::in_folder(self.folder.path().join("canaries").join(&attack.name))
    }

    fn archive(&self, name: &str) -> PathBuf {
        self.folder.path().join("archives").join(format!("{name}.pt"))
    }
}
