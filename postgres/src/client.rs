//! PostgreSQL's client programs, for those who save and restore databases.

use std::path::{Path, PathBuf};

use crate::binaries::{candidates, version_of};
use crate::error::PostgresError;

/// A folder with `pg_dump` and `pg_restore` of one version that run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPrograms {
    folder: PathBuf,
    version: u32,
}

impl ClientPrograms {
    /// Those of a server's major version, or else of the next later one: earlier ones cannot read what it has.
    ///
    /// # Errors
    /// When only earlier ones are found, or none.
    pub fn find(server: u32) -> Result<Self, PostgresError> {
        Self::find_among(candidates(), server)
    }

    fn find_among(candidates: Vec<PathBuf>, server: u32) -> Result<Self, PostgresError> {
        let mut found: Vec<Self> = candidates.into_iter().filter_map(Self::in_folder).collect();
        // The first of a version stays the first.
        found.sort_by_key(|programs| programs.version);
        let usable = found.iter().find(|programs| programs.version >= server).cloned();
        usable.ok_or_else(|| {
            let versions: Vec<String> = found.iter().map(|programs| programs.version.to_string()).collect();
            let found = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
            PostgresError::NoClient { wanted: server, found }
        })
    }

    fn in_folder(folder: PathBuf) -> Option<Self> {
        let restores = folder.join("pg_restore").is_file();
        let version = restores.then(|| version_of(&folder.join("pg_dump"), None)).flatten()?;
        Some(Self { folder, version })
    }

    /// Writes a database into a file.
    pub fn pg_dump(&self) -> PathBuf {
        self.folder.join("pg_dump")
    }

    /// Reads it back.
    pub fn pg_restore(&self) -> PathBuf {
        self.folder.join("pg_restore")
    }
}

/// The PostgreSQL that runs, or would run, a private cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPrograms {
    /// Where its programs are.
    pub folder: PathBuf,
    /// Its major version.
    pub version: u32,
}

impl ServerPrograms {
    pub(crate) fn in_folder(folder: &Path, version: u32) -> Self {
        Self { folder: folder.to_owned(), version }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn installed(root: &Path, version: u32) -> PathBuf {
        let folder = root.join(version.to_string());
        std::fs::create_dir(&folder).unwrap();
        for name in ["pg_dump", "pg_restore"] {
            let program = folder.join(name);
            std::fs::write(&program, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}.1'\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn a_server_is_dumped_by_its_own_version_or_the_next_later_one() {
        let root = tempfile::tempdir().unwrap();
        let candidates: Vec<PathBuf> = [18, 15, 16].map(|version| installed(root.path(), version)).into();
        let found = |server| ClientPrograms::find_among(candidates.clone(), server).map(|programs| programs.version);
        assert_eq!((found(15).unwrap(), found(14).unwrap(), found(17).unwrap()), (15, 15, 18));
        let refused = found(19).unwrap_err();
        assert!(
            refused.to_string().contains("PostgreSQL 19") && refused.to_string().contains("15, 16, 18"),
            "{refused}"
        );
        assert!(refused.hint().is_some());
    }
}
