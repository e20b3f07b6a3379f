//! The engine as a process: frames, faults, and its end.

use std::os::unix::process::ExitStatusExt;

use secateur_core::rejection::Code;
use secateur_core::spec::InspectionSpec;
use secateur_core::stage::Work;
use secateur_core::stage::import::GRAPH;
use secateur_core::wire::{EngineMessage, Outcome, PROTOCOL};

use crate::job::{Engine, Job, example, fixture};

const SPEC: &str =
    r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input_shape": [1, 8, 8], "fine_tune": null}"#;

fn small_job() -> Job {
    Job::new(SPEC, &fixture("printing.pt"), None)
}

#[test]
fn what_a_model_prints_comes_neither_between_the_frames_nor_into_the_log() {
    let job = small_job();
    let mut engine = Engine::start(job.folder.path(), &[]);
    engine.send(&job.request(Work::Import(())));
    let outcome = engine.outcome();
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    assert!(!engine.errors().contains("a model may print"));
    assert!(engine.wait().success());
}

#[test]
fn an_engine_whose_worker_goes_away_ends() {
    let job = small_job();
    let mut engine = Engine::start(job.folder.path(), &[("SECATEUR_ENGINE_FAULT", "hang:import")]);
    engine.send(&job.request(Work::Import(())));
    engine.close_input();
    assert_eq!(engine.wait().code(), Some(4));
}

#[test]
fn an_engine_that_gets_no_request_ends() {
    let job = small_job();
    let mut engine = Engine::start(job.folder.path(), &[]);
    engine.close_input();
    assert_eq!(engine.wait().code(), Some(4));
}

#[test]
fn another_protocol_is_refused_by_number() {
    let job = small_job();
    let mut engine = Engine::start(job.folder.path(), &[]);
    let mut request = job.request(Work::Import(()));
    request.protocol += 1;
    engine.send(&request);
    let Outcome::Failed { message } = engine.outcome() else { panic!("it is refused") };
    let said = format!("protocol is {}, this engine speaks {PROTOCOL}", PROTOCOL + 1);
    assert!(message.contains(&said), "{message}");
    assert!(engine.wait().success());
}

#[test]
fn planned_faults_strike_their_stage_only() {
    let job = small_job();
    let mut engine = Engine::start(job.folder.path(), &[("SECATEUR_ENGINE_FAULT", "fail:import")]);
    engine.send(&job.request(Work::Import(())));
    assert_eq!(engine.outcome(), Outcome::Failed { message: "planned fault: fail:import".to_owned() });

    let mut engine = Engine::start(job.folder.path(), &[("SECATEUR_ENGINE_FAULT", "abort:import")]);
    engine.send(&job.request(Work::Import(())));
    while let Some(message) = engine.message().unwrap() {
        assert!(matches!(message, EngineMessage::Log { .. }), "it dies without an outcome: {message:?}");
    }
    assert_eq!(engine.wait().signal(), Some(6));

    let mut engine = Engine::start(job.folder.path(), &[("SECATEUR_ENGINE_FAULT", "fail:tune")]);
    engine.send(&job.request(Work::Import(())));
    assert!(matches!(engine.outcome(), Outcome::Done { .. }));
}

#[test]
fn an_import_that_does_not_end_is_refused_and_ends_the_process() {
    for (work, stage) in [(Work::Import(()), "import"), (Work::Inspect(InspectionSpec::default()), "inspect")] {
        let job = small_job();
        let mut engine = Engine::start(job.folder.path(), &[("SECATEUR_ENGINE_FAULT", &format!("stuck:{stage}"))]);
        engine.send(&job.request(work));
        let Outcome::Rejected { rejection } = engine.outcome() else { panic!("it is refused") };
        assert_eq!(rejection.code, Code::TimedOut);
        assert!(rejection.detail.contains("Importing the model took longer than 0.25 seconds"), "{rejection}");
        assert!(engine.wait().success());
    }
}

#[test]
fn a_missing_input_file_is_named_in_the_failure() {
    let job = Job::new(SPEC, &example("vgg-digits.pt"), None);
    let Outcome::Failed { message } = job.run(Work::Graph(())) else { panic!("there is no graph yet") };
    assert!(message.contains(GRAPH), "{message}");
}
