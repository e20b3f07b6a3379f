//! What engines are started with so that they confine themselves: the mode, the users and the ceilings.
//!
//! The settings travel as an argument of the process. Nothing of a task, a spec or a file gets into them but sizes.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use secateur_core::sandbox::{Ceilings, Mode, Profile, Settings};
use secateur_core::stage::Stage;
use secateur_core::stage::import::{DATASET, MODEL};
use secateur_core::wire::TaskRequest;

use super::account::{Account, Accounts};
use super::memory;

const GIB: u64 = 1 << 30;
/// What an import may take whatever the size of the model: libtorch, and the activations of a sample or two.
const IMPORT: u64 = 4 * GIB;
/// How often the model's bytes may be in memory at once: as archive, as tensors, as graph, twice each. 4 are usual.
const COPIES_OF_MODEL: u64 = 16;
/// The same of the data set, of which an import measures the original's accuracy.
const COPIES_OF_DATASET: u64 = 8;
/// No engine gets less; libtorch alone takes a part of it.
const LEAST_MEMORY: u64 = GIB;
/// What one file that an engine writes may have beyond a few times its inputs.
const FILE: u64 = GIB;
const TIMES_THE_INPUTS: u64 = 4;
/// Pictures, packed tables and packed arrays take so many times their size as arrays at most.
const TIMES_UNPACKED: u64 = 100;
/// Threads of an engine that do not compute, and pools that libtorch starts beside its own.
const THREADS: u64 = 64;
const THREADS_FOR_EACH: u64 = 8;
/// CPU time of the start, in seconds.
const CPU_SECONDS: u64 = 60;

/// How the engines of one program are confined; clones share the users.
#[derive(Debug, Clone)]
pub struct Confinement {
    pub mode: Mode,
    pub accounts: Accounts,
    /// How many engines divide the machine's memory.
    pub engines: usize,
}

impl Default for Confinement {
    fn default() -> Self {
        Self { mode: Mode::default(), accounts: Accounts::from(None), engines: 1 }
    }
}

impl Confinement {
    /// Makes a folder ready for an engine; the user that it gets is its own as long as the account is kept.
    ///
    /// # Errors
    /// With [`Mode::Require`], when the folder cannot be given to another user.
    pub(super) fn prepare(&self, folder: &Path) -> io::Result<Option<Account>> {
        if self.mode == Mode::Off {
            return Ok(None);
        }
        let Some(account) = self.accounts.take() else { return Ok(None) };
        match account.admit_to(folder) {
            Ok(()) => Ok(Some(account)),
            Err(error) if self.mode == Mode::Require => Err(error),
            Err(error) => {
                tracing::warn!(%error, "an engine gets no user of its own");
                Ok(None)
            }
        }
    }

    /// The argument of an engine.
    pub(super) fn settings(&self, account: Option<&Account>, ceilings: Ceilings) -> String {
        let settings = Settings { mode: self.mode, account: account.map(Account::uid), ceilings };
        serde_json::to_string(&settings).expect("numbers are JSON")
    }

    /// What one task may use up, by what lies in its folder.
    pub(super) fn ceilings(&self, folder: &Path, request: &TaskRequest, timeout: Duration) -> Ceilings {
        let threads = request.threads.max(1) as u64;
        let bytes = |name: &str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
        let inputs: u64 = fs::read_dir(folder)
            .map(|files| files.flatten().filter_map(|file| fs::metadata(file.path()).ok()).map(|file| file.len()).sum())
            .unwrap_or_default();
        let share = memory::of_this_machine().map(|bytes| share(bytes, self.engines));
        Ceilings {
            memory_bytes: share.map(|share| match request.work.stage().profile() {
                Profile::Import => memory_of_import(bytes(MODEL), bytes(DATASET)).min(share),
                Profile::Task => share,
            }),
            cpu_seconds: timeout.as_secs().checked_mul(threads).and_then(|seconds| seconds.checked_add(CPU_SECONDS)),
            file_bytes: Some(match request.work.stage() {
                Stage::Prepare => FILE + TIMES_UNPACKED * inputs,
                _ => FILE + TIMES_THE_INPUTS * inputs,
            }),
            threads: Some(THREADS + THREADS_FOR_EACH * threads),
        }
    }
}

/// An import's memory: 4 GiB, 16 times the model and 8 times the data set.
fn memory_of_import(model: u64, dataset: u64) -> u64 {
    IMPORT + COPIES_OF_MODEL * model + COPIES_OF_DATASET * dataset
}

/// One engine's share of the machine: an eighth, at least 512 MiB, is left to everybody else.
fn share(machine: u64, engines: usize) -> u64 {
    let reserve = (machine / 8).max(GIB / 2);
    (machine.saturating_sub(reserve) / engines.max(1) as u64).max(LEAST_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_divide_what_the_machine_can_spare() {
        assert_eq!(share(16 * GIB, 1), 14 * GIB);
        assert_eq!(share(16 * GIB, 2), 7 * GIB);
        assert_eq!(share(GIB, 1), GIB, "no engine works with less");
    }

    #[test]
    fn an_import_gets_memory_by_the_size_of_the_model() {
        assert_eq!(memory_of_import(0, 0), 4 * GIB);
        assert_eq!(memory_of_import(GIB / 2, GIB), 20 * GIB);
    }
}
