//! Whether there is room on the disk. A worker without it takes no task: each would fail, and a full disk may last.

use std::time::Duration;

use super::Worker;
use crate::blob::Disk;

/// The folder of a task holds a copy of the model at least.
const LEAST_FREE: u64 = 32 << 20;

pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// What a slot found when it looked last, so that it says so once.
#[derive(Debug, Default)]
pub(super) struct Room {
    is_missed: bool,
}

impl Room {
    /// Whether a task can be taken.
    pub(super) fn is_enough(&mut self, worker: &Worker) -> bool {
        let scratch = &worker.options.scratch;
        let missing = missing(worker);
        match &missing {
            Some(what) if !self.is_missed => {
                tracing::warn!(scratch = %scratch.display(), "no task is taken until there is room: {what}");
            }
            None if self.is_missed => tracing::info!("there is room again: tasks are taken"),
            _ => {}
        }
        self.is_missed = missing.is_some();
        !self.is_missed
    }
}

/// What cannot be looked at is not known to be full: the task will tell.
fn missing(worker: &Worker) -> Option<String> {
    if worker.blobs.has_room().is_ok_and(|has_room| !has_room) {
        return Some("the disk of the blobs has less free than its reserve".to_owned());
    }
    // It is made with the first task.
    let scratch = worker.options.scratch.ancestors().find(|folder| folder.exists())?;
    let space = Disk::new(scratch, LEAST_FREE).space().ok()?;
    space.is_full().then(|| format!("the scratch folder's disk has {} bytes free", space.free_bytes))
}
