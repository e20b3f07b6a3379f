//! A judge outside chooses the network.

use finalists::FinalistsWork;
use judge::{JudgeResult, JudgeWork};

use super::*;
use crate::recovery::{Accuracy, DecidedBy, JudgeScore};

fn judged_by(more: &str) -> JobSpec {
    spec(&format!(r#", "judge": {{{more}}}"#))
}

fn plan_for(spec: &JobSpec, stage: Stage, finished: &[FinishedTask]) -> Result<Vec<PlannedTask>, PlanError> {
    let view = JobView { spec, has_dataset: true, finished, reused: Measurements::NONE };
    plan(stage, view, Measurements::NONE).map(|plan| plan.tasks)
}

/// Three tuned networks, of which 1 is the best by our own metric and 0 the worst, with their files and the judge's scores.
fn judged(spec: &JobSpec, scores: &[(usize, f64)]) -> Vec<FinishedTask> {
    let mut done = vec![proposed(3), screened(0, 0, 0.9), tuned(0, 0, 0.5), tuned(1, 1, 0.9), tuned(2, 2, 0.7)];
    for task in plan_for(spec, Stage::Finalists, &done).unwrap() {
        done.push(finished(Stage::Finalists, task.index, task.work.sample()));
    }
    let Work::Judge(work) = &plan_for(spec, Stage::Judge, &done).unwrap()[0].work else { panic!("it is judged") };
    let scores: Vec<_> = scores.iter().map(|&(candidate, score)| JudgeScore { candidate, score }).collect();
    let mut judge = finished(Stage::Judge, 0, TaskResult::Judge(work.settle(&scores)));
    judge.device.clear();
    done.push(judge);
    done
}

fn exported(spec: &JobSpec, done: &[FinishedTask]) -> usize {
    let Work::Export(work) = plan_for(spec, Stage::Export, done).unwrap()[0].work else { panic!("one is exported") };
    work.candidate
}

#[test]
fn a_judge_is_asked_after_all_training_and_before_the_export() {
    let judged = r#", "method": "uniform", "judge": {}"#;
    assert_eq!(road(&spec(judged), true)[4..], ["screen", "tune", "finalists", "judge", "export", "verify"]);
    assert_eq!(road(&spec(judged), false)[3..], ["screen", "finalists", "judge", "export", "verify"]);
    let with_control = format!(r#"{judged}, "diagnostics": true"#);
    assert_eq!(road(&spec(&with_control), true)[5..9], ["tune", "control", "finalists", "judge"]);
}

#[test]
fn every_tuned_network_is_a_finalist_and_its_file_is_the_judges() {
    let spec = judged_by(r#""timeout_s": 60"#);
    let done = judged(&spec, &[]);
    let finalists = plan_for(&spec, Stage::Finalists, &done).unwrap();
    let works: Vec<&Work> = finalists.iter().map(|task| &task.work).collect();
    let tuned = |candidate| Work::Finalists(FinalistsWork { candidate, tuned: true });
    assert_eq!(works, [&tuned(1), &tuned(2), &tuned(0)], "the best first");
    assert!(finalists[1].inputs.contains(&Input::output(Stage::Tune, 2, "tuned-2.safetensors")));
    assert!(finalists[1].inputs.iter().any(|input| input.source == Source::Model), "the file is the user's program");

    let [judge] = &plan_for(&spec, Stage::Judge, &done).unwrap()[..] else { panic!("there is one judgement") };
    assert_eq!(judge.work, Work::Judge(JudgeWork { finalists: vec![1, 2, 0], timeout_s: 60 }));
    let file = |task, name| Input::output(Stage::Finalists, task, name);
    assert_eq!(judge.inputs, [file(0, "finalist-1.pt"), file(1, "finalist-2.pt"), file(2, "finalist-0.pt")]);
}

#[test]
fn without_tuning_the_finalists_are_what_would_be_tuned() {
    let spec = judged_by("");
    let done = [proposed(4), screened(0, 0, 0.4), screened(0, 1, 0.2), screened(1, 2, 0.3), screened(1, 3, 0.1)];
    let finalists = plan_for(&spec, Stage::Finalists, &done).unwrap();
    let works: Vec<_> = finalists.iter().map(|task| task.work.clone()).collect();
    let screened = |candidate| Work::Finalists(FinalistsWork { candidate, tuned: false });
    assert_eq!(works, [0, 2, 3].map(screened), "the best two and the baseline");
    assert!(finalists[1].inputs.contains(&Input::output(Stage::Screen, 1, "screened-2.safetensors")));
}

#[test]
fn the_judges_best_is_exported_whatever_our_own_metric_says() {
    let scores = [(0, 0.3), (1, 0.1), (2, 0.2)];
    let spec = judged_by("");
    let done = judged(&spec, &scores);
    assert_eq!(exported(&spec, &done), 0);
    let view = JobView { spec: &spec, has_dataset: true, finished: &done, reused: Measurements::NONE };
    assert_eq!(view.best(), Some((Stage::Tune, 0)));
    let lower = judged_by(r#""higher_is_better": false"#);
    assert_eq!(exported(&lower, &judged(&lower, &scores)), 1);
}

#[test]
fn a_judge_that_left_a_finalist_out_leaves_the_choice_to_our_own_metric() {
    let spec = judged_by(r#""timeout_s": 60"#);
    let done = judged(&spec, &[(0, 0.3), (2, 0.2)]);
    assert_eq!(exported(&spec, &done), 1);
    let view = JobView { spec: &spec, has_dataset: true, finished: &done, reused: Measurements::NONE };
    let judgement = view.judgement().unwrap();
    assert_eq!((judgement.decided_by, judgement.scores.len()), (DecidedBy::Metric, 2));
    assert!(judgement.reason.as_ref().unwrap().contains("The judge had 60 s, and 2 of 3"), "{judgement:?}");
}

#[test]
fn an_untuned_network_that_the_judge_chose_is_exported_as_it_was_screened() {
    let spec = judged_by("");
    let mut done = vec![proposed(2), screened(0, 0, 0.9), screened(0, 1, 0.1)];
    let judgement = JudgeWork { finalists: vec![0, 1], timeout_s: 1 };
    let scores = [(0, 1.0), (1, 2.0)].map(|(candidate, score)| JudgeScore { candidate, score });
    let JudgeResult { judgement } = judgement.settle(&scores);
    done.push(finished(Stage::Judge, 0, TaskResult::Judge(JudgeResult { judgement })));
    let export = plan_for(&spec, Stage::Export, &done).unwrap();
    assert_eq!(export[0].work, Work::Export(ExportWork { candidate: 1, tuned: false, triton: false }));
    assert!(export[0].inputs.contains(&Input::output(Stage::Screen, 0, "screened-1.safetensors")));
}

#[test]
fn the_report_hears_of_the_judgement_and_of_no_device_that_computed_it() {
    let spec = judged_by(r#""name": "mAP""#);
    let mut done = judged(&spec, &[(0, 0.3), (1, 0.1), (2, 0.2)]);
    done.push(finished(Stage::Import, 0, Work::Import(()).sample()));
    done.push(finished(
        Stage::Export,
        0,
        Work::Export(ExportWork { candidate: 0, tuned: true, triton: false }).sample(),
    ));
    let Work::Verify(VerifyWork { history }) = &plan_for(&spec, Stage::Verify, &done).unwrap()[0].work else {
        panic!("verify plans verification")
    };
    assert_eq!(history.judgement.as_ref().unwrap().scores.len(), 3);
    assert!(history.devices.contains_key("finalists") && !history.devices.contains_key("judge"));
}

#[test]
fn a_network_that_the_export_would_refuse_is_no_finalist() {
    let json = |drop| {
        let target = format!(r#"{{"flops_reduction": 0.5, "max_metric_drop": {drop}}}"#);
        JobSpec::from_json(&format!(r#"{{"target": {target}, "search": {{"top_k": 2}}, "judge": {{}}}}"#)).unwrap()
    };
    let mut import = Work::Import(()).sample();
    let TaskResult::Import(result) = &mut import else { panic!("it is of the import") };
    result.accuracy = Some(Accuracy { val: 0.95, test: 0.9 });
    let done = [
        finished(Stage::Import, 0, import),
        proposed(3),
        screened(0, 0, 0.9),
        tuned(0, 0, 0.5),
        tuned(1, 1, 0.9),
        tuned(2, 2, 0.7),
    ];
    let finalists = |drop| -> Vec<usize> {
        let tasks = plan_for(&json(drop), Stage::Finalists, &done).unwrap();
        let candidate = |task: &PlannedTask| match task.work {
            Work::Finalists(work) => work.candidate,
            _ => panic!("{task:?}"),
        };
        tasks.iter().map(candidate).collect()
    };
    assert_eq!((finalists(0.5), finalists(0.3), finalists(0.1)), (vec![1, 2, 0], vec![1, 2], vec![1]));
    assert_eq!(finalists(0.01), [] as [usize; 0], "nothing is left to be judged");
    assert_eq!(plan_for(&json(0.01), Stage::Judge, &done).unwrap(), [], "and nobody is waited for");
    assert_eq!(exported(&json(0.01), &done), 1, "the export says what fell too far");

    // Without labels the original's fidelity is 1.
    let faithful = |task, candidate, fidelity| {
        tuned_with(task, candidate, Score { accuracy: None, metric: Some(fidelity), loss: 1.0 - fidelity })
    };
    let done = [proposed(2), screened(0, 0, 0.9), faithful(0, 0, 0.8), faithful(1, 1, 0.95)];
    assert_eq!(plan_for(&json(0.1), Stage::Finalists, &done).unwrap().len(), 1);
}

#[test]
fn a_judgement_without_anything_to_judge_cannot_be_planned() {
    let judged = judged_by("");
    assert_eq!(plan_for(&judged, Stage::Finalists, &[proposed(1)]).unwrap_err().missing, "screen or tune");
}
