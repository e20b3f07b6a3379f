//! A task that was killed goes on from its checkpoint, and ends as if nothing had happened.

use std::os::unix::process::ExitStatusExt;

use secateur_core::spec::BatchNorm;
use secateur_core::stage::encoder::EncoderWork;
use secateur_core::stage::import::{GRAPH, WEIGHTS};
use secateur_core::stage::light_tune::LightTuneWork;
use secateur_core::stage::repair::RepairWork;
use secateur_core::stage::search::SearchWork;
use secateur_core::stage::tune::TuneWork;
use secateur_core::stage::{Stage, TaskResult, Work};
use secateur_core::wire::{CHECKPOINT, Outcome};

use crate::job::{Engine, Job, example};

const BY_CONTRAST: Work = Work::Encoder(EncoderWork { calibration: Vec::new() });

const SACP: &str = r#"{
    "target": {"flops_reduction": 0.5},
    "input": {"mean": 4.9, "std": 6.0},
    "encoder": {"configs": 256, "epochs": 3},
    "search": {"candidates": 400000, "top_m": 6, "top_k": 1},
    "recovery": {"closed_form": false},
    "fine_tune": {"epochs": 3, "light_epochs": 1, "lr": 0.02, "augment": ["hflip", "crop"]}
}"#;

fn job_after(stage: Stage) -> Job {
    let mut job = Job::new(SACP, &example("vgg-digits.pt"), Some(&example("digits.npz")));
    job.run_through(stage).unwrap_or_else(|outcome| panic!("{outcome:?}"));
    job
}

/// Runs a task that may write a checkpoint at every opportunity, with a planned fault.
fn run(job: &Job, work: &Work, fault: &str) -> (Engine, Option<Outcome>) {
    let mut engine = Engine::start(job.folder.path(), &[("SECATEUR_ENGINE_FAULT", fault)]);
    let mut request = job.request(work.clone());
    request.checkpoint_interval_s = Some(0.0);
    engine.send(&request);
    let outcome = engine.listen();
    (engine, outcome)
}

/// Runs a task without interruption, then again with a crash after the first checkpoint, and once more from that.
/// Returns both results; the files that the task writes must be the same.
fn interrupted(job: &Job, work: &Work) -> (TaskResult, TaskResult) {
    let Outcome::Done { result: whole, files, .. } = job.run(work.clone()) else { panic!("it is done") };
    let whole_files: Vec<Vec<u8>> = files.iter().map(|name| std::fs::read(job.path(name)).unwrap()).collect();
    for name in &files {
        std::fs::remove_file(job.path(name)).unwrap();
    }

    let fault = format!("abort-after-checkpoint:{}", work.stage().as_str());
    let (mut crashed, outcome) = run(job, work, &fault);
    assert_eq!(outcome, None, "it dies without an outcome");
    assert_eq!(crashed.wait().signal(), Some(6));
    assert_eq!(crashed.checkpoints, ["checkpoint-1"]);
    for name in &files {
        drop(std::fs::remove_file(job.path(name)));
    }
    std::fs::rename(job.path("checkpoint-1"), job.path(CHECKPOINT)).unwrap();

    let (resumed, outcome) = run(job, work, &fault);
    assert!(resumed.log.iter().any(|line| line.contains("going on after")), "{:?}", resumed.log);
    let Some(Outcome::Done { result, files: again, .. }) = outcome else { panic!("it is done: {outcome:?}") };
    assert_eq!(again, files);
    for (name, whole) in files.iter().zip(&whole_files) {
        assert!(std::fs::read(job.path(name)).unwrap() == *whole, "{name} is another one");
    }
    (whole, result)
}

#[test]
fn tuning_ends_with_the_same_weights_and_the_same_history() {
    let mut job = job_after(Stage::LightTune);
    let TaskResult::LightTune(light) = &job.finished.last().unwrap().result else { panic!("it is the light tune") };
    let work = Work::Tune(TuneWork { candidate: light.rated[0].candidate });
    for batch_norm in [BatchNorm::Train, BatchNorm::Frozen] {
        job.spec.fine_tune.as_mut().unwrap().batch_norm = batch_norm;
        let (TaskResult::Tune(whole), TaskResult::Tune(mut resumed)) = interrupted(&job, &work) else {
            panic!("both are tuned")
        };
        assert_eq!(resumed.epochs.len(), 3);
        for (resumed, whole) in resumed.epochs.iter_mut().zip(&whole.epochs) {
            resumed.seconds = whole.seconds;
        }
        assert_eq!(resumed, whole);
        std::fs::remove_file(job.path(CHECKPOINT)).unwrap();
    }
}

/// Also by an attempt that goes on, since nobody knows how much of the one before was passed on.
#[test]
fn every_epoch_is_told() {
    let job = job_after(Stage::LightTune);
    let TaskResult::LightTune(light) = &job.finished.last().unwrap().result else { panic!("it is the light tune") };
    let candidate = light.rated[0].candidate;
    let work = Work::Tune(TuneWork { candidate });
    let steps = |engine: &Engine| engine.readings.iter().map(|reading| reading.step).collect::<Vec<_>>();

    let (crashed, _) = run(&job, &work, "abort-after-checkpoint:tune");
    assert_eq!(steps(&crashed), [1]);
    std::fs::rename(job.path("checkpoint-1"), job.path(CHECKPOINT)).unwrap();
    let (resumed, outcome) = run(&job, &work, "");
    let Some(Outcome::Done { result: TaskResult::Tune(tuned), .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(steps(&resumed), [1, 2, 3]);
    for (reading, epoch) in resumed.readings.iter().zip(&tuned.epochs) {
        assert_eq!((reading.unit.as_str(), reading.candidate), ("epoch", Some(candidate)));
        assert_eq!(reading.figures["training_loss"], epoch.train_loss);
        assert_eq!(Some(reading.figures["validation_accuracy"]), epoch.val_accuracy);
        assert_eq!(reading.figures.len(), 2);
    }
}

#[test]
fn a_light_tune_goes_on_with_the_next_candidate() {
    let job = job_after(Stage::LightTune);
    let TaskResult::LightTune(light) = &job.finished.last().unwrap().result else { panic!("it is the light tune") };
    let candidates: Vec<usize> = light.rated.iter().take(3).map(|light| light.candidate).collect();
    let (whole, resumed) = interrupted(&job, &Work::LightTune(LightTuneWork { candidates }));
    assert_eq!(resumed, whole);
}

#[test]
fn a_repair_goes_on_with_the_next_candidate() {
    let job = job_after(Stage::Repair);
    let TaskResult::Repair(repair) = &job.finished.last().unwrap().result else { panic!("it is the repair") };
    let candidates: Vec<usize> = repair.rated.iter().take(3).map(|rated| rated.candidate).collect();
    let (whole, resumed) = interrupted(&job, &Work::Repair(RepairWork { candidates }));
    assert_eq!(resumed, whole);
}

#[test]
fn the_encoder_is_the_same_one() {
    let job = job_after(Stage::Graph);
    let (whole, resumed) = interrupted(&job, &BY_CONTRAST);
    assert_eq!(resumed, whole);
}

#[test]
fn the_search_proposes_the_same_candidates() {
    let job = job_after(Stage::Encoder);
    let (TaskResult::Search(whole), TaskResult::Search(resumed)) =
        interrupted(&job, &Work::Search(SearchWork { sensitivities: Vec::new(), latency: None }))
    else {
        panic!("both have searched")
    };
    assert_eq!(resumed.candidates, whole.candidates);
}

#[test]
fn a_checkpoint_that_does_not_fit_is_ignored_and_said_so() {
    let job = job_after(Stage::Graph);
    let (mut crashed, _) = run(&job, &BY_CONTRAST, "abort-after-checkpoint:encoder");
    crashed.wait();
    let good = std::fs::read(job.path("checkpoint-1")).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, reason) in [(&damaged[..], "damaged"), (&good[..20], "damaged"), (b"", "damaged")] {
        std::fs::write(job.path(CHECKPOINT), bytes).unwrap();
        let (engine, outcome) = run(&job, &BY_CONTRAST, "");
        assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
        let ignored = engine.log.iter().find(|line| line.contains("the checkpoint is ignored"));
        assert!(ignored.is_some_and(|line| line.contains(reason)), "{:?}", engine.log);
    }

    // Of the same task in a job with another seed.
    let mut other = Job::new(SACP, &example("vgg-digits.pt"), None);
    other.spec.seed = 1;
    for name in [GRAPH, WEIGHTS] {
        std::fs::copy(job.path(name), other.path(name)).unwrap();
    }
    std::fs::write(other.path(CHECKPOINT), &good).unwrap();
    let (engine, outcome) = run(&other, &BY_CONTRAST, "");
    assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
    assert!(engine.log.iter().any(|line| line.contains("another task")), "{:?}", engine.log);
}

#[test]
fn without_an_interval_nothing_is_written() {
    let job = job_after(Stage::Graph);
    let mut engine = Engine::start(job.folder.path(), &[]);
    engine.send(&job.request(BY_CONTRAST));
    engine.outcome();
    assert_eq!(engine.checkpoints, [] as [&str; 0]);
}
