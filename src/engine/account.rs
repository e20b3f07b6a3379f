//! Users for engines: one for each that runs, from a range that nobody on the machine has.
//!
//! Only root can give one. By default the range begins at `0x7000_0000`, behind those of people, services and containers, and each
//! server takes 64 numbers of it by its own process id, so two servers on one machine never share a user.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

const FIRST: u32 = 0x7000_0000;
/// Engines of one server at once that get a user; process ids have 22 bits, so the range ends below `0x8000_0000`.
const PER_SERVER: u32 = 64;

/// The users that one server has to give; clones share them.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// `None` when this program may not give any.
    first: Option<u32>,
    taken: Arc<Mutex<BTreeSet<u32>>>,
}

/// A user that is an engine's until this is dropped. Its group has the same number.
#[derive(Debug)]
pub struct Account {
    uid: u32,
    taken: Arc<Mutex<BTreeSet<u32>>>,
}

impl Accounts {
    /// The users from `first` on, or those of this process.
    pub fn from(first: Option<u32>) -> Self {
        let first = first.unwrap_or_else(|| FIRST + std::process::id() % (1 << 22) * PER_SERVER);
        let last = first.saturating_add(PER_SERVER - 1);
        let may_give = rustix::process::geteuid().is_root() && is_mapped(first) && is_mapped(last);
        Self { first: may_give.then_some(first), taken: Arc::default() }
    }

    /// The first user that no engine has; `None` when there is none to give.
    pub fn take(&self) -> Option<Account> {
        let first = self.first?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = (first..first.saturating_add(PER_SERVER)).find(|uid| !taken.contains(uid))?;
        taken.insert(uid);
        Some(Account { uid, taken: Arc::clone(&self.taken) })
    }
}

impl Account {
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Lets the user make files in a folder of ours, and read those that are there. These stay ours: in a sticky folder only an
    /// owner may remove or replace a file.
    pub fn admit_to(&self, folder: &Path) -> io::Result<()> {
        for file in fs::read_dir(folder)? {
            let file = file?;
            // Where a link leads to stays as it is: the engine opens that before it becomes the user.
            if !file.file_type()?.is_symlink() {
                fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
            }
        }
        chown(folder, None, Some(self.uid))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o1770))
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.uid);
    }
}

/// Whether a number means a user here; in a container that has 65 536 of them, most do not.
fn is_mapped(uid: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&uid.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_at_once_are_two_users_and_the_next_gets_one_that_is_free_again() {
        let accounts = Accounts { first: Some(7), taken: Arc::default() };
        let (first, second) = (accounts.take().unwrap(), accounts.clone().take().unwrap());
        assert_eq!((first.uid(), second.uid()), (7, 8));
        drop(first);
        assert_eq!(accounts.take().unwrap().uid(), 7);
    }

    #[test]
    fn the_users_of_a_server_lie_behind_everybody_elses() {
        let accounts = Accounts::from(None);
        let users = accounts.first.map(|first| (first, first + PER_SERVER - 1));
        assert_eq!(users.is_some(), rustix::process::geteuid().is_root());
        if let Some((first, last)) = users {
            assert!(first >= FIRST && last < 0x8000_0000);
        }
    }
}
