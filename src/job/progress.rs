//! How far a job is: the tasks of each stage added up.

use std::collections::BTreeMap;

use secateur_core::stage::{Measurements, Stage};
use secateur_core::wire::Progress;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A stage's progress over all its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageProgress {
    pub done: u64,
    pub total: u64,
    /// What is counted: `epochs`, `candidates`, `steps`.
    pub unit: String,
    /// Units per second over all running tasks; `null` while nothing is measured.
    pub rate: Option<f64>,
    /// Seconds until the stage is done at that rate.
    pub eta_s: Option<f64>,
    /// A figure worth showing, from the task that spoke last.
    pub note: Option<String>,
    /// Of `done`, what was taken over from earlier jobs on the same model and data set.
    pub reused: u64,
    /// Until when the stage waits for somebody outside; `judge` only.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub deadline: Option<OffsetDateTime>,
}

/// What progress needs to know of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskProgress {
    pub stage: Stage,
    pub succeeded: bool,
    pub running: bool,
    pub progress: Option<Progress>,
    /// Until when it waits for somebody outside.
    pub deadline: Option<OffsetDateTime>,
}

/// The progress of every stage that has tasks, or that has none because earlier jobs had done its work.
pub fn progress_by_stage(tasks: &[TaskProgress], reused: &Measurements) -> BTreeMap<Stage, StageProgress> {
    let mut by_stage: BTreeMap<Stage, Vec<&TaskProgress>> = BTreeMap::new();
    for task in tasks {
        by_stage.entry(task.stage).or_default().push(task);
    }
    let mut progress: BTreeMap<Stage, StageProgress> =
        by_stage.into_iter().map(|(stage, tasks)| (stage, add_up(&tasks))).collect();
    for &stage in Stage::ALL {
        let reused = stage.count_reused(reused) as u64;
        if reused > 0 {
            let progress = progress.entry(stage).or_insert_with(|| passed_over(stage));
            progress.done += reused;
            progress.total += reused;
            progress.reused = reused;
        }
    }
    progress
}

/// A stage without tasks.
fn passed_over(stage: Stage) -> StageProgress {
    let unit = stage.reused_unit().to_owned();
    StageProgress { done: 0, total: 0, unit, rate: None, eta_s: None, note: None, reused: 0, deadline: None }
}

fn add_up(tasks: &[&TaskProgress]) -> StageProgress {
    let known: Vec<&Progress> = tasks.iter().filter_map(|task| task.progress.as_ref()).collect();
    // A task that has not spoken is taken to be as large as the others, so that the total does not jump.
    let usual_total = match known.len() as u64 {
        0 => 1,
        count => (known.iter().map(|progress| progress.total).sum::<u64>() / count).max(1),
    };
    let total_of = |task: &TaskProgress| task.progress.as_ref().map_or(usual_total, |progress| progress.total);
    let done_of = |task: &TaskProgress| match (task.succeeded, &task.progress) {
        (true, _) => total_of(task),
        (false, Some(progress)) => progress.done.min(progress.total),
        (false, None) => 0,
    };
    let total = tasks.iter().map(|task| total_of(task)).sum();
    let done = tasks.iter().map(|task| done_of(task)).sum();
    let running = || tasks.iter().filter(|task| task.running).filter_map(|task| task.progress.as_ref());
    let rate = running().filter_map(|progress| progress.rate).reduce(|sum, rate| sum + rate);
    let eta_s = rate.filter(|&rate| rate > 0.0).map(|rate| (total - done) as f64 / rate);
    StageProgress {
        done,
        total,
        unit: known.last().map_or_else(|| "tasks".to_owned(), |progress| progress.unit.clone()),
        rate,
        eta_s,
        note: running().chain(known.iter().copied()).find_map(|progress| progress.note.clone()),
        reused: 0,
        deadline: tasks.iter().find_map(|task| task.deadline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(succeeded: bool, progress: Option<(u64, u64, f64)>) -> TaskProgress {
        TaskProgress {
            stage: Stage::Tune,
            succeeded,
            running: !succeeded && progress.is_some(),
            progress: progress.map(|(done, total, rate)| Progress {
                done,
                total,
                unit: "epochs".to_owned(),
                rate: Some(rate),
                note: None,
            }),
            deadline: None,
        }
    }

    #[test]
    fn a_task_that_has_not_spoken_counts_as_much_as_the_others() {
        let tasks = [task(true, Some((10, 10, 1.0))), task(false, Some((4, 10, 2.0))), task(false, None)];
        let tune = &progress_by_stage(&tasks, Measurements::NONE)[&Stage::Tune];
        assert_eq!((tune.done, tune.total), (14, 30));
        assert_eq!(tune.rate, Some(2.0));
        assert_eq!(tune.eta_s, Some(8.0));
    }

    #[test]
    fn a_finished_stage_without_progress_reads_one_of_one() {
        let import = &progress_by_stage(&[task(true, None)], Measurements::NONE)[&Stage::Tune];
        assert_eq!((import.done, import.total, import.rate), (1, 1, None));
    }
}
