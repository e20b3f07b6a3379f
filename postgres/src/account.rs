//! The user id that Postgres runs under.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// `nobody`, on every Linux.
const NOBODY: u32 = 65534;

/// Another user than this program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// Whom Postgres must run as: the data folder's owner when root runs this program, `nobody` when that is root too;
    /// `None` when this program's own user will do.
    pub(crate) fn for_cluster_in(data_folder: &Path) -> io::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let folder = std::fs::metadata(data_folder)?;
        Ok(Some(match folder.uid() {
            0 => Self { uid: NOBODY, gid: NOBODY },
            uid => Self { uid, gid: folder.gid() },
        }))
    }

    /// Whether this account can reach what lies in a folder.
    pub(crate) fn can_enter(self, folder: &Path) -> bool {
        folder.ancestors().all(|folder| {
            std::fs::metadata(folder).is_ok_and(|metadata| {
                let needed = match metadata.uid() == self.uid {
                    true => 0o100,
                    false if metadata.gid() == self.gid => 0o010,
                    false => 0o001,
                };
                metadata.mode() & needed != 0
            })
        })
    }
}

/// A command that runs under an account; std also drops the supplementary groups.
pub(crate) fn command(program: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
    command
}

/// Makes a folder the account's own, closed to everyone else.
pub(crate) fn hand_over(folder: &Path, account: Option<Account>) -> io::Result<()> {
    if let Some(account) = account {
        chown(folder, Some(account.uid), Some(account.gid))?;
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_enters_where_every_folder_lets_it_pass() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let stranger = Account { uid: NOBODY, gid: NOBODY };
        let owner = Account { uid: std::fs::metadata(&inner).unwrap().uid(), gid: NOBODY };
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_enter(&inner));
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o701)).unwrap();
        assert!(stranger.can_enter(&inner) && owner.can_enter(&inner));
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_enter(&inner) && owner.can_enter(&inner));
        assert!(!owner.can_enter(&inner.join("missing")));
    }

    #[test]
    fn only_for_root_postgres_runs_as_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::for_cluster_in(folder.path()).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(account, is_root.then_some(Account { uid: NOBODY, gid: NOBODY }));
        if is_root {
            chown(folder.path(), Some(1234), Some(5678)).unwrap();
            let account = Account::for_cluster_in(folder.path()).unwrap();
            assert_eq!(account, Some(Account { uid: 1234, gid: 5678 }), "the folder's owner");
        }
    }
}
