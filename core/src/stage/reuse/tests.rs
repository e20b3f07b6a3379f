use super::*;
use crate::configuration::{CandidateCosts, Origin};
use crate::cost::Costs;
use crate::recovery::Screened;
use crate::search::ranking::sensitivity::{Probe, Sensitivity};
use crate::stage::graph::GraphResult;
use crate::stage::screen::ScreenResult;
use crate::stage::search::SearchResult;
use crate::stage::sensitivity::SensitivityResult;
use crate::stage::{FinishedTask, TaskTime};
use crate::surgery::Equivalence;

const SUBJECT: Subject<'static> = Subject { model_sha256: "aa", dataset_sha256: "bb" };
const COSTS: Costs = Costs { macs: 1, params: 1, channels: 1, latency_ms: None };

fn finished(grouping: &str) -> Vec<FinishedTask> {
    let graph = GraphResult {
        base: COSTS,
        groups: 2,
        channels: 8,
        reachable: Some(0.9),
        grouping: grouping.to_owned(),
        probes: vec![Probe { group: 0, width: 2 }, Probe { group: 1, width: 3 }],
    };
    let proposed = ["c0", "c1"].iter().enumerate().map(|(index, configuration)| CandidateCosts {
        index,
        origin: Origin::Sensitivity,
        configuration: (*configuration).to_owned(),
        costs: COSTS,
        reduction: 0.5,
        widths: Vec::new(),
        similarity: None,
        predicted_divergence: None,
        predicted_value: None,
    });
    let search = SearchResult { candidates: proposed.collect(), search: None };
    [(Stage::Graph, TaskResult::Graph(graph)), (Stage::Search, TaskResult::Search(search))]
        .map(|(stage, result)| FinishedTask {
            stage,
            index: 0,
            result,
            files: Vec::new(),
            time: TaskTime::default(),
            device: "cpu".to_owned(),
        })
        .into()
}

fn fingerprint_of(stage: Stage, more: &str, grouping: &str, subject: Subject<'_>) -> Option<String> {
    let spec = JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5}}{more}}}"#)).unwrap();
    let finished = finished(grouping);
    let job = JobView { spec: &spec, has_dataset: true, finished: &finished, reused: Measurements::NONE };
    fingerprint(stage, job, subject)
}

fn with(more: &str) -> String {
    fingerprint_of(Stage::Sensitivity, more, "groups", SUBJECT).expect("sensitivities are kept")
}

#[test]
fn a_job_with_another_purpose_has_the_same_fingerprint() {
    let same = [
        r#", "name": "second", "labels": {"team": "vision"}"#,
        r#", "search": {"candidates": 7, "top_k": 3}, "encoder": {"epochs": 1}"#,
        r#", "fine_tune": null"#,
        r#", "constraints": {"round_to": 8}"#,
    ];
    for more in same {
        assert_eq!(with(more), with(""), "{more}");
    }
    let target = JobSpec::from_json(r#"{"target": {"params_reduction": 0.3}}"#).unwrap();
    let finished = finished("groups");
    let job = JobView { spec: &target, has_dataset: true, finished: &finished, reused: Measurements::NONE };
    assert_eq!(fingerprint(Stage::Sensitivity, job, SUBJECT), Some(with("")));
}

#[test]
fn whatever_changes_the_value_changes_the_fingerprint() {
    let others = [
        with(r#", "seed": 1"#),
        with(r#", "input": {"mean": 1, "std": 2}"#),
        with(r#", "input_shape": [3, 32, 32]"#),
        fingerprint_of(Stage::Sensitivity, "", "other groups", SUBJECT).unwrap(),
        fingerprint_of(Stage::Sensitivity, "", "groups", Subject { model_sha256: "cc", ..SUBJECT }).unwrap(),
        fingerprint_of(Stage::Sensitivity, "", "groups", Subject { dataset_sha256: "cc", ..SUBJECT }).unwrap(),
        fingerprint_of(Stage::Screen, "", "groups", SUBJECT).unwrap(),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, with(""), "{index}");
        assert!(!others[..index].contains(other), "{index}");
    }
}

#[test]
fn the_screen_of_a_method_that_tunes_all_it_screens_is_not_kept() {
    assert_eq!(fingerprint_of(Stage::Screen, r#", "method": "uniform""#, "groups", SUBJECT), None);
    assert_eq!(fingerprint_of(Stage::Tune, "", "groups", SUBJECT), None);
}

#[test]
fn what_one_job_brought_another_one_knows_by_its_own_indices() {
    let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}}"#).unwrap();
    let first = finished("groups");
    let mut second = first.clone();
    let TaskResult::Search(search) = &mut second[1].result else { panic!("it is the search") };
    // The same configuration has another index in the second job.
    search.candidates.reverse();
    search.candidates.iter_mut().enumerate().for_each(|(index, costs)| costs.index = index);
    let view = |finished| JobView { spec: &spec, has_dataset: true, finished, reused: Measurements::NONE };

    let equivalence = Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 };
    let screened = Screened { candidate: 0, equivalence, accuracy: Some(0.75), metric: None, closed_form: None };
    let screen = TaskResult::Screen(ScreenResult { screened: vec![screened.clone()] });
    let kept = brought(&screen, view(&first));
    let found = known(Stage::Screen, view(&second), &kept);
    assert_eq!(found.screened, [Screened { candidate: 1, ..screened }]);

    let measured = vec![Sensitivity { group: 1, width: 3, divergence: 0.1 + 0.2 }];
    let kept = brought(&TaskResult::Sensitivity(SensitivityResult { measured: measured.clone() }), view(&first));
    assert_eq!(kept[0].name, "sensitivity/1/3");
    assert_eq!(known(Stage::Sensitivity, view(&second), &kept).sensitivities, measured);
    assert!(names(Stage::Sensitivity, view(&second)).contains(&kept[0].name));

    let unreadable = [Kept { name: kept[0].name.clone(), value: json!("?") }];
    assert!(known(Stage::Sensitivity, view(&second), &unreadable).is_empty());
}
