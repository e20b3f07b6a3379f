//! What one task does, stage by stage: each file carries out the stage of the same name in [`secateur_core::stage`], which says what it
//! reads and writes.
//!
//! A stage reads its inputs from the task's folder under fixed names and writes its outputs there; each file appears whole or not
//! at all. Nothing is kept between tasks, so a task that was lost is simply run again, from its last checkpoint if it left one.

mod calibration;
mod candidate;
mod control;
mod encoder;
mod export;
mod finalists;
mod graph;
mod import;
mod importance;
mod inspect;
mod judge;
mod latency;
mod light_tune;
mod prepare;
mod repair;
mod rung;
mod screen;
mod search;
mod sensitivity;
mod task;
mod tune;
mod verify;

use std::path::Path;

use secateur_core::stage::{TaskResult, Work};
use secateur_core::wire::TaskRequest;
use tch::Device;

use crate::error::Error;
use crate::process::checkpoint::Checkpoints;
use crate::process::messages::Messages;

pub use task::{GivenFiles, Task, Workspace};

/// Carries out a task in a folder. libtorch is initialised already.
///
/// # Errors
/// What the user can mend is a rejection; all else is a fault.
pub fn run(
    request: &TaskRequest,
    folder: &Path,
    files: GivenFiles,
    device: Device,
    messages: &Messages,
) -> Result<TaskResult, Error> {
    let workspace = Workspace { folder, files, device, threads: request.threads, messages };
    match (&request.work, &request.spec) {
        (Work::Inspect(inspection), _) => inspect::run(&workspace, inspection).map(TaskResult::Inspect),
        (work, Some(spec)) => {
            let checkpoints = Checkpoints::of(request, folder, messages);
            carry_out(&Task { spec, workspace, checkpoints }, work)
        }
        (work, None) => Err(Error::internal(format!("a task of the stage {} without a spec", work.stage().as_str()))),
    }
}

macro_rules! dispatch {
    ($($doc:literal $module:ident $Variant:ident;)*) => {
        fn carry_out(task: &Task, work: &Work) -> Result<TaskResult, Error> {
            match work {
                $(Work::$Variant(work) => $module::run(task, work).map(TaskResult::$Variant),)*
            }
        }
    };
}

secateur_core::with_stages!(dispatch);
