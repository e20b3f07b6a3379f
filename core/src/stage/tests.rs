mod judgement;

use std::collections::BTreeSet;

use calibration::{CalibrationResult, CalibrationWork};
use control::ControlWork;
use encoder::EncoderWork;
use export::ExportWork;
use graph::GraphResult;
use import::{ImportResult, Preparation};
use importance::ImportanceResult;
use latency::LatencyResult;
use light_tune::LightTuneWork;
use repair::RepairWork;
use rung::RungResult;
use screen::{ScreenResult, ScreenWork};
use search::{SearchResult, SearchWork};
use sensitivity::{SensitivityResult, SensitivityWork};
use tune::TuneWork;
use verify::VerifyWork;

use super::*;
use crate::configuration::{CandidateCosts, Origin};
use crate::cost::Costs;
use crate::graph::DType;
use crate::latency::LatencyTable;
use crate::number::Positive;
use crate::recovery::{Epoch, Rated, Score, Screened, TuneResult};
use crate::report::StageTime;
use crate::search::ranking::regression::Sampled;
use crate::search::ranking::sensitivity::{Probe, Sensitivity};
use crate::spec::{InputShape, InspectionSpec};
use crate::surgery::Equivalence;

fn spec(more: &str) -> JobSpec {
    JobSpec::from_json(&format!(r#"{{"target": {{"flops_reduction": 0.5}}, "search": {{"top_k": 2}}{more}}}"#)).unwrap()
}

fn road(spec: &JobSpec, has_dataset: bool) -> Vec<&'static str> {
    let stages = std::iter::successors(Some(Stage::Import), |stage| stage.next(spec, has_dataset));
    stages.map(Stage::as_str).collect()
}

fn finished(stage: Stage, index: usize, result: TaskResult) -> FinishedTask {
    let time = TaskTime { waiting: 0.25, running: 1.5, computing: 1.0 };
    FinishedTask { stage, index, result, files: Vec::new(), time, device: "cpu".to_owned() }
}

fn latency_result() -> LatencyResult {
    LatencyResult { table: Box::new(LatencyTable::sample()), reachable: 0.8 }
}

fn proposed(count: usize) -> FinishedTask {
    let costs = Costs { macs: 1, params: 1, channels: 1, latency_ms: None };
    let candidate = |index| CandidateCosts {
        index,
        origin: if index + 1 == count { Origin::Uniform } else { Origin::Sensitivity },
        configuration: format!("configuration {index}"),
        costs,
        reduction: 0.5,
        widths: Vec::new(),
        similarity: None,
        predicted_divergence: None,
        predicted_value: None,
    };
    let result = SearchResult { candidates: (0..count).map(candidate).collect(), search: None };
    finished(Stage::Search, 0, TaskResult::Search(result))
}

fn screened(task: usize, candidate: usize, accuracy: f64) -> FinishedTask {
    let equivalence = Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 };
    let screened = vec![Screened { candidate, equivalence, accuracy: Some(accuracy), metric: None, closed_form: None }];
    finished(Stage::Screen, task, TaskResult::Screen(ScreenResult { screened }))
}

fn tuned(task: usize, candidate: usize, accuracy: f64) -> FinishedTask {
    tuned_with(task, candidate, Score { accuracy: Some(accuracy), metric: None, loss: 0.5 })
}

fn tuned_with(task: usize, candidate: usize, score: Score) -> FinishedTask {
    let result = TuneResult { candidate, epochs: Vec::new(), best_epoch: 1, recipe: None, accuracy: None, score };
    finished(Stage::Tune, task, TaskResult::Tune(result))
}

fn plan_after(stage: Stage, finished: &[FinishedTask]) -> Result<Vec<PlannedTask>, PlanError> {
    plan_knowing(stage, finished, Measurements::NONE).map(|plan| plan.tasks)
}

fn plan_knowing(stage: Stage, finished: &[FinishedTask], known: &Measurements) -> Result<Plan, PlanError> {
    plan(stage, JobView { spec: &spec(""), has_dataset: true, finished, reused: Measurements::NONE }, known)
}

fn graph_with(probes: &[Probe]) -> FinishedTask {
    let base = Costs { macs: 1, params: 1, channels: 1, latency_ms: None };
    let (grouping, probes) = ("groups".to_owned(), probes.to_vec());
    let result = GraphResult { base, groups: 2, channels: 8, reachable: Some(0.9), grouping, probes };
    finished(Stage::Graph, 0, TaskResult::Graph(result))
}

fn probes(widths: &[usize]) -> Vec<Probe> {
    widths.iter().map(|&width| Probe { group: 0, width }).collect()
}

fn sensitivities(widths: &[usize]) -> Vec<Sensitivity> {
    widths.iter().map(|&width| Sensitivity { group: 0, width, divergence: 0.5 }).collect()
}

#[test]
fn a_classical_job_with_data_screens_and_tunes() {
    let whole = ["import", "prepare", "graph", "search", "screen", "tune", "export", "verify"];
    assert_eq!(road(&spec(r#", "method": "uniform""#), true), whole);
}

#[test]
fn sacp_trains_an_encoder_and_halves_before_it_tunes() {
    let whole = [
        "import",
        "prepare",
        "graph",
        "importance",
        "encoder",
        "sensitivity",
        "search",
        "screen",
        "light_tune",
        "tune",
        "control",
        "export",
        "verify",
    ];
    assert_eq!(road(&spec(""), true), whole);
    let without_data = ["import", "graph", "encoder", "search", "screen", "export", "verify"];
    assert_eq!(road(&spec(""), false), without_data);
    let in_steps = r#", "recovery": {"closed_form": false}"#;
    assert!(road(&spec(in_steps), true).contains(&"repair"), "what is not repaired in closed form is in some steps");
    let without_halving = road(&spec(&format!(r#"{in_steps}, "fine_tune": {{"light_epochs": 0}}"#)), true);
    assert!(!without_halving.contains(&"light_tune") && without_halving.contains(&"repair"));
    let asked_for =
        JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}, "search": {"repair_steps": 10}}"#).unwrap();
    assert!(road(&asked_for, true).contains(&"repair"));
    assert!(
        !road(&spec(&format!(r#"{in_steps}, "fine_tune": null"#)), true).contains(&"repair"),
        "prune only trains nothing"
    );
}

#[test]
fn arrays_are_made_of_what_is_none_and_read_from_then_on() {
    let spec = spec(r#", "method": "uniform""#);
    let imported = |has_source| {
        let TaskResult::Import(import) = Work::Import(()).sample() else { panic!("an import finds out what it is") };
        finished(Stage::Import, 0, TaskResult::Import(ImportResult { has_source, ..import }))
    };
    let tasks = |finished: &[FinishedTask], stage| {
        let view = JobView { spec: &spec, has_dataset: true, finished, reused: Measurements::NONE };
        plan(stage, view, Measurements::NONE).unwrap().tasks
    };
    assert!(tasks(&[imported(false)], Stage::Prepare).is_empty());
    let prepare = tasks(&[imported(true)], Stage::Prepare);
    assert!(prepare[0].inputs.iter().any(|input| input.source == Source::Dataset));
    let done = [imported(true), finished(Stage::Prepare, 0, prepare[0].work.sample()), proposed(1)];
    let inputs = &tasks(&done, Stage::Screen)[0].inputs;
    let arrays = Source::Output { stage: Stage::Prepare, index: 0, name: "samples.safetensors".to_owned() };
    assert!(inputs.contains(&Input { name: "dataset".to_owned(), source: arrays }), "{inputs:?}");
    assert!(inputs.iter().all(|input| input.source != Source::Dataset));
}

/// Everything that reaches the arrays, and nothing that does not: a job with another target uses the same ones.
#[test]
fn arrays_are_offered_to_jobs_that_want_the_same() {
    let fingerprint = |change: &str, preparation: Option<Preparation>| {
        let TaskResult::Import(import) = Work::Import(()).sample() else { panic!("an import finds out what it is") };
        let import = ImportResult { has_source: true, preparation, ..import };
        let finished = [finished(Stage::Import, 0, TaskResult::Import(import))];
        let view = JobView { spec: &spec(change), has_dataset: true, finished: &finished, reused: Measurements::NONE };
        let inputs = plan(Stage::Prepare, view, Measurements::NONE).unwrap().tasks.remove(0).inputs;
        inputs.into_iter().find_map(|input| match input.source {
            Source::Prepared { fingerprint } => Some(fingerprint),
            _ => None,
        })
    };
    let converts = |shape: &[usize], dtype| Some(Preparation::Convert { shape: shape.to_vec(), dtype });
    let usual = || converts(&[3, 8, 8], DType::Float32);
    let first = fingerprint("", usual());
    assert!(first.is_some());
    assert_eq!(fingerprint("", None), None, "what an earlier version has imported is prepared as it was");
    for same in [r#", "method": "uniform""#, r#", "input": {"mean": 1, "std": 2}"#, r#", "fine_tune": null"#] {
        assert_eq!(fingerprint(same, usual()), first, "{same}");
    }
    let resize = |size: usize| format!(r#", "data": {{"resize": {{"policy": "crop", "size": {size}}}}}"#);
    let others = [
        fingerprint(r#", "seed": 1"#, usual()),
        fingerprint(&resize(9), usual()),
        fingerprint(&resize(10), usual()),
        fingerprint(r#", "data": {"resize": {"policy": "stretch"}}"#, usual()),
        fingerprint("", converts(&[1, 8, 8], DType::Float32)),
        fingerprint("", converts(&[3, 8, 8], DType::Int64)),
        fingerprint("", Some(Preparation::Unpack)),
    ];
    let all: BTreeSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(all.len(), others.len() + 1);
    assert_eq!(fingerprint(&resize(9), Some(Preparation::Unpack)), others[6], "what is unpacked is not changed");
}

#[test]
fn a_criterion_is_measured_only_where_it_has_to_be() {
    let taylor = spec(r#", "importance": {"criterion": "taylor"}"#);
    assert_eq!(road(&taylor, true)[2..5], ["graph", "importance", "encoder"]);
    assert!(!road(&spec(r#", "importance": {"criterion": "fpgm"}"#), true).contains(&"importance"));

    let result = TaskResult::Importance(ImportanceResult { samples: 8, loss: Some(0.5) });
    let done = [graph_with(&probes(&[1, 2])), finished(Stage::Importance, 0, result)];
    let view = JobView { spec: &taylor, has_dataset: true, finished: &done, reused: Measurements::NONE };
    let saliency = Input::output(Stage::Importance, 0, "importance.safetensors");
    for stage in [Stage::Sensitivity, Stage::Search] {
        let tasks = plan(stage, view, Measurements::NONE).unwrap().tasks;
        assert!(!tasks.is_empty() && tasks.iter().all(|task| task.inputs.contains(&saliency)), "{stage:?}");
    }
}

#[test]
fn a_latency_target_measures_a_table_before_it_searches_whatever_the_method() {
    let spec = |method: &str| {
        JobSpec::from_json(&format!(r#"{{"target": {{"latency_reduction": 0.3}}, "method": "{method}"}}"#)).unwrap()
    };
    assert_eq!(road(&spec("uniform"), false)[..4], ["import", "graph", "latency", "search"]);
    assert_eq!(road(&spec("sacp"), true)[2..7], ["graph", "latency", "importance", "encoder", "sensitivity"]);
    let spec = spec("global_l1");
    let planned = |stage, finished: &[FinishedTask]| {
        let view = JobView { spec: &spec, has_dataset: false, finished, reused: Measurements::NONE };
        plan(stage, view, Measurements::NONE).map(|plan| plan.tasks)
    };
    assert_eq!(planned(Stage::Latency, &[]).unwrap()[0].work, Work::Latency(()));
    assert_eq!(planned(Stage::Search, &[]).unwrap_err().missing, "latency");
    let done = [finished(Stage::Latency, 0, TaskResult::Latency(latency_result()))];
    let search = planned(Stage::Search, &done).unwrap();
    let Work::Search(SearchWork { latency: Some(table), .. }) = &search[0].work else {
        panic!("the search gets the table")
    };
    assert_eq!(*table, latency_result().table);

    // The sample is drawn in the band of the target too.
    let calibration = planned(Stage::Calibration, &done).unwrap();
    assert!(matches!(&calibration[0].work, Work::Calibration(CalibrationWork { latency: Some(_), .. })));
    assert_eq!(planned(Stage::Calibration, &[]).unwrap_err().missing, "latency");
}

#[test]
fn an_encoder_that_is_fitted_to_measurements_is_preceded_by_them_where_there_is_data() {
    let fitted = spec(r#", "encoder": {"objective": "regression", "samples": 70}"#);
    assert_eq!(road(&fitted, true)[2..6], ["graph", "importance", "calibration", "encoder"]);
    assert_eq!(road(&fitted, false)[1..3], ["graph", "encoder"]);

    let planned = |stage, finished: &[FinishedTask]| {
        let view = JobView { spec: &fitted, has_dataset: true, finished, reused: Measurements::NONE };
        plan(stage, view, Measurements::NONE).unwrap().tasks
    };
    let tasks = planned(Stage::Calibration, &[]);
    let shards: Vec<_> = tasks.iter().map(|task| task.work.clone()).collect();
    assert_eq!(
        shards,
        [0..32, 32..64, 64..70].map(|sample| Work::Calibration(CalibrationWork { sample, latency: None }))
    );
    let of = |index| Sampled { index, widths: vec![1], accuracy: Some(0.5), divergence: 0.1 };
    let measured = |task, index| {
        finished(Stage::Calibration, task, TaskResult::Calibration(CalibrationResult { measured: vec![of(index)] }))
    };
    let done = [measured(1, 32), measured(0, 0)];
    assert_eq!(planned(Stage::Encoder, &done)[0].work, Work::Encoder(EncoderWork { calibration: vec![of(0), of(32)] }));
}

#[test]
fn every_stage_on_the_longest_road_is_read_back_from_its_name() {
    let spec = JobSpec::from_json(
        r#"{"target": {"latency_reduction": 0.3}, "importance": {"criterion": "taylor"}, "encoder": {"objective": "regression"},
            "recovery": {"closed_form": false}, "judge": {}}"#,
    )
    .unwrap();
    let mut names = road(&spec, true);
    names.push("inspect");
    assert_eq!(names.len(), Stage::ALL.len());
    assert!(names.iter().all(|name| Stage::parse(name).is_some_and(|stage| stage.as_str() == *name)));
}

#[test]
fn an_inspection_is_one_task_that_reads_the_model_and_no_job_has_it() {
    let inspection = InspectionSpec::new(Some(InputShape::One(vec![3, 32, 32])), None).unwrap();
    let task = inspect::task(inspection.clone());
    assert_eq!((&task.work, task.inputs[0].name.as_str()), (&Work::Inspect(inspection), import::MODEL));
    assert_eq!(Stage::Inspect.next(&spec(""), true), None);
    assert!(InspectionSpec::new(Some(InputShape::One(vec![-1])), None).is_err());
}

#[test]
fn without_data_or_fine_tuning_nothing_is_tuned() {
    let short = ["import", "graph", "search", "screen", "export", "verify"];
    assert_eq!(road(&spec(r#", "method": "uniform""#), false), short);
    let prunes_only = road(&spec(r#", "method": "uniform", "fine_tune": null"#), true);
    assert_eq!(prunes_only, [&short[..1], &["prepare"], &short[1..]].concat());
}

#[test]
fn candidates_are_screened_in_shards_that_together_hold_each_once() {
    let screen = plan_after(Stage::Screen, &[proposed(70)]).unwrap();
    assert_eq!(screen.iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1, 2]);
    let all: Vec<usize> = screen
        .iter()
        .flat_map(|task| match &task.work {
            Work::Screen(ScreenWork { candidates }) => candidates.clone(),
            other => panic!("{other:?} in the screen stage"),
        })
        .collect();
    assert_eq!(all, (0..70).collect::<Vec<_>>());
}

fn control(spec: &JobSpec, finished: &[FinishedTask]) -> Vec<PlannedTask> {
    let view = JobView { spec, has_dataset: true, finished, reused: Measurements::NONE };
    plan(Stage::Control, view, Measurements::NONE).unwrap().tasks
}

#[test]
fn random_channels_are_tried_at_the_uniform_widths_within_a_share_of_the_job() {
    let mut done = vec![proposed(9)];
    done.push(screened(0, 0, 0.5));
    assert_eq!(control(&spec(""), &done), [], "a network takes 1.5 s, four of them are no twentieth of 3 s");
    done.extend((1..9).map(|index| screened(index, index, 0.5)));
    let tuned =
        |index| FinishedTask { time: TaskTime { running: 100.0, ..TaskTime::default() }, ..tuned(index, index, 0.5) };
    done.extend((0..2).map(tuned));
    let [task] = &control(&spec(""), &done)[..] else { panic!("it is worth its time now") };
    let Work::Control(ControlWork { candidate: 8, seconds: Some(seconds) }) = task.work else { panic!("{task:?}") };
    assert!((seconds - 0.05 * 215.0).abs() < 1e-9, "{seconds}");
}

#[test]
fn diagnostics_ask_for_random_channels_with_any_method_and_whatever_they_cost() {
    let uniform = |more: &str| spec(&format!(r#", "method": "uniform"{more}"#));
    assert!(!road(&uniform(""), true).contains(&"control"));
    let asked = uniform(r#", "diagnostics": true"#);
    assert_eq!(road(&asked, true)[5..], ["tune", "control", "export", "verify"]);
    assert!(!road(&asked, false).contains(&"control"), "nothing is measured without data");
    let done = [proposed(1), screened(0, 0, 0.5)];
    assert_eq!(control(&asked, &done)[0].work, Work::Control(ControlWork { candidate: 0, seconds: None }));
}

#[test]
fn the_better_ones_and_the_best_baseline_are_lightly_tuned() {
    let mut done = vec![proposed(9)];
    done.extend((0..9).map(|index| screened(0, index, 0.9 - 0.05 * index as f64)));
    let lightly_tuned = |spec: &JobSpec| {
        let view = JobView { spec, has_dataset: true, finished: &done, reused: Measurements::NONE };
        plan(Stage::LightTune, view, Measurements::NONE).unwrap().tasks.remove(0)
    };
    let repaired = spec("");
    let light = lightly_tuned(&repaired);
    assert_eq!(light.work, Work::LightTune(LightTuneWork { candidates: vec![0, 1, 8] }), "8 is the baseline");
    assert!(light.inputs.contains(&Input::output(Stage::Screen, 0, "screened-8.safetensors")));
    let as_cut = spec(r#", "recovery": {"closed_form": false}"#);
    let candidates = vec![0, 1, 2, 8];
    assert_eq!(lightly_tuned(&as_cut).work, Work::LightTune(LightTuneWork { candidates }), "the screen says less");
    let mut many = repaired.clone();
    many.search.top_k = Positive::new(5);
    let candidates = vec![0, 1, 2, 3, 4, 8];
    assert_eq!(lightly_tuned(&many).work, Work::LightTune(LightTuneWork { candidates }), "no fewer than are tuned");
}

#[test]
fn everything_that_was_screened_is_repaired_and_the_repair_chooses() {
    let mut done = vec![proposed(9)];
    done.extend((0..9).map(|index| screened(0, index, 0.9 - 0.05 * index as f64)));
    let repair = plan_after(Stage::Repair, &done).unwrap();
    assert_eq!(repair[0].work, Work::Repair(RepairWork { candidates: (0..9).collect() }));
    assert!(repair[0].inputs.contains(&Input::output(Stage::Screen, 0, "screened-8.safetensors")));

    let rated = (0..9).map(|candidate| Rated {
        candidate,
        score: Score { accuracy: Some(0.5), metric: None, loss: (candidate as f64 - 5.0).abs() },
    });
    let result = TaskResult::Repair(RungResult { steps: 50, rated: rated.collect() });
    done.push(finished(Stage::Repair, 0, result));
    let light = plan_after(Stage::LightTune, &done).unwrap();
    assert_eq!(
        light[0].work,
        Work::LightTune(LightTuneWork { candidates: vec![4, 5, 8] }),
        "of equal accuracy those of least loss"
    );
    assert!(light[0].inputs.contains(&Input::output(Stage::Repair, 0, "repaired-5.safetensors")));
}

#[test]
fn of_equally_accurate_networks_the_one_of_smaller_loss_wins() {
    let score = |loss| Score { accuracy: Some(0.9), metric: None, loss };
    let done = [proposed(2), screened(0, 0, 0.9), tuned_with(0, 0, score(0.4)), tuned_with(1, 1, score(0.3))];
    let export = plan_after(Stage::Export, &done).unwrap();
    assert_eq!(export[0].work, Work::Export(ExportWork { candidate: 1, tuned: true, triton: false }));
}

#[test]
fn the_best_k_and_the_best_baseline_are_tuned_each_by_a_task_of_its_own() {
    let done = [proposed(4), screened(0, 0, 0.4), screened(0, 1, 0.2), screened(1, 2, 0.3), screened(1, 3, 0.1)];
    let tune = plan_after(Stage::Tune, &done).unwrap();
    let works: Vec<&Work> = tune.iter().map(|task| &task.work).collect();
    assert_eq!(works, [0, 2, 3].map(|candidate| Work::Tune(TuneWork { candidate })).iter().collect::<Vec<_>>());
    assert!(tune[1].inputs.contains(&Input::output(Stage::Screen, 1, "screened-2.safetensors")));
}

#[test]
fn the_winner_is_the_best_tuned_candidate_and_the_first_of_equals() {
    let done = [proposed(3), screened(0, 0, 0.9), tuned(0, 0, 0.5), tuned(2, 2, 0.7), tuned(1, 1, 0.7)];
    let export = plan_after(Stage::Export, &done).unwrap();
    assert_eq!(export[0].work, Work::Export(ExportWork { candidate: 1, tuned: true, triton: false }));
    assert!(export[0].inputs.contains(&Input::output(Stage::Tune, 1, "tuned-1.safetensors")));
}

#[test]
fn without_tuning_the_best_screened_candidate_wins() {
    let export = plan_after(Stage::Export, &[proposed(2), screened(0, 0, 0.1), screened(1, 1, 0.2)]).unwrap();
    assert_eq!(export[0].work, Work::Export(ExportWork { candidate: 1, tuned: false, triton: false }));
}

#[test]
fn verification_knows_the_times_and_devices_of_every_stage_before_it() {
    let import = Work::Import(()).sample();
    let export = Work::Export(ExportWork { candidate: 1, tuned: false, triton: false }).sample();
    let done = [
        finished(Stage::Import, 0, import),
        proposed(2),
        screened(0, 0, 0.1),
        screened(1, 1, 0.2),
        finished(Stage::Export, 0, export),
    ];
    let verify = plan_after(Stage::Verify, &done).unwrap();
    let Work::Verify(VerifyWork { history }) = &verify[0].work else { panic!("verify plans verification") };
    assert_eq!(history.seconds["screen"], 3.0);
    assert_eq!(history.times["screen"], StageTime { waiting: 0.5, setting_up: 1.0, computing: 2.0 });
    assert_eq!(history.devices["screen"], BTreeSet::from(["cpu".to_owned()]));
    assert_eq!(history.winner, 1);
}

#[test]
fn verification_knows_every_training() {
    let work = Work::LightTune(LightTuneWork { candidates: vec![0, 1] });
    let epoch = |epoch| Epoch { epoch, train_loss: 1.0, val_accuracy: None, val_metric: None, seconds: 1.0 };
    let score = Score { accuracy: Some(0.5), metric: None, loss: 0.5 };
    let epochs = [1, 2, 3].map(epoch).to_vec();
    let tuned = TuneResult { candidate: 1, epochs, best_epoch: 1, recipe: None, accuracy: None, score };
    let done = [
        finished(Stage::Import, 0, Work::Import(()).sample()),
        proposed(2),
        screened(0, 0, 0.1),
        screened(1, 1, 0.2),
        finished(Stage::LightTune, 0, work.sample()),
        finished(Stage::Tune, 0, TaskResult::Tune(tuned)),
        finished(Stage::Export, 0, Work::Export(ExportWork { candidate: 1, tuned: true, triton: false }).sample()),
    ];
    let verify = plan_after(Stage::Verify, &done).unwrap();
    let Work::Verify(VerifyWork { history }) = &verify[0].work else { panic!("verify plans verification") };
    let trained = history.trained.iter().map(|training| (training.stage.as_str(), training.candidate, training.epochs));
    assert_eq!(trained.collect::<Vec<_>>(), [("light_tune", 0, 1.0), ("light_tune", 1, 1.0), ("tune", 1, 3.0)]);
}

#[test]
fn a_stage_whose_predecessor_is_missing_cannot_be_planned() {
    assert_eq!(plan_after(Stage::Screen, &[]).unwrap_err().missing, "search");
    assert_eq!(plan_after(Stage::Export, &[proposed(1)]).unwrap_err().missing, "screen or tune");
}

#[test]
fn only_sensitivities_that_no_earlier_job_measured_are_measured() {
    let graph = [graph_with(&probes(&[1, 2, 3]))];
    let known = Measurements { sensitivities: sensitivities(&[3, 1, 7]), ..Measurements::default() };
    let plan = plan_knowing(Stage::Sensitivity, &graph, &known).unwrap();
    assert_eq!(plan.tasks.len(), 1);
    assert_eq!(plan.tasks[0].work, Work::Sensitivity(SensitivityWork { probes: probes(&[2]) }));
    assert_eq!(plan.reused.sensitivities, sensitivities(&[3, 1]), "nobody asked for 7");
}

#[test]
fn a_stage_of_which_all_is_known_has_no_tasks_and_the_search_gets_the_same() {
    let mut done = vec![graph_with(&probes(&[1, 2]))];
    let known = Measurements { sensitivities: sensitivities(&[2, 1]), ..Measurements::default() };
    let plan_of_second = plan_knowing(Stage::Sensitivity, &done, &known).unwrap();
    assert!(plan_of_second.tasks.is_empty());

    let search = |finished: &[FinishedTask], reused: &Measurements| {
        let job = JobView { spec: &spec(""), has_dataset: true, finished, reused };
        plan(Stage::Search, job, Measurements::NONE).unwrap().tasks
    };
    let second = search(&done, &plan_of_second.reused);
    let measured = SensitivityResult { measured: sensitivities(&[1, 2]) };
    done.push(finished(Stage::Sensitivity, 0, TaskResult::Sensitivity(measured)));
    assert_eq!(second, search(&done, Measurements::NONE));
}

#[test]
fn a_candidate_whose_screen_is_taken_over_competes_and_brings_no_weights() {
    let done = [proposed(3), screened(0, 0, 0.9), screened(0, 2, 0.1)];
    let equivalence = Equivalence { max_abs_diff: 0.0, tolerance: 1e-4 };
    let known = Screened { candidate: 1, equivalence, accuracy: Some(0.5), metric: None, closed_form: None };
    let known = Measurements { screened: vec![known], ..Measurements::default() };
    let Plan { tasks, reused } = plan_knowing(Stage::Screen, &done[..1], &known).unwrap();
    assert_eq!(tasks[0].work, Work::Screen(ScreenWork { candidates: vec![0, 2] }));

    let spec = spec("");
    let job = JobView { spec: &spec, has_dataset: true, finished: &done, reused: &reused };
    let tune = plan(Stage::Tune, job, Measurements::NONE).unwrap().tasks;
    let works: Vec<&Work> = tune.iter().map(|task| &task.work).collect();
    assert_eq!(works, [0, 1, 2].map(|candidate| Work::Tune(TuneWork { candidate })).iter().collect::<Vec<_>>());
    let starts = |task: &PlannedTask| task.inputs.iter().filter(|input| input.name.starts_with("screened-")).count();
    assert_eq!(tune.iter().map(starts).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn what_version_0_1_has_stored_is_still_read() {
    let work = |json| serde_json::from_str::<Work>(json).unwrap();
    assert_eq!(work(r#"{"stage": "import"}"#), Work::Import(()));
    let screen = r#"{"stage": "screen", "candidates": [3], "compare_channels_of": 3}"#;
    assert_eq!(work(screen), Work::Screen(ScreenWork { candidates: vec![3] }));
    let result = r#"{"stage": "search", "candidates": [{"index": 0, "origin": "calibrated", "configuration": "c", "reduction": 0.5,
                     "costs": {"macs": 1, "params": 1, "channels": 1}}], "search": null}"#;
    let TaskResult::Search(found) = serde_json::from_str(result).unwrap() else { panic!("it is of the search") };
    assert_eq!(found.candidates[0].origin, Origin::Sensitivity);
}

#[test]
fn work_and_results_of_every_stage_travel_as_they_are() {
    let spec = JobSpec::from_json(
        r#"{"target": {"latency_reduction": 0.3}, "importance": {"criterion": "taylor"}, "encoder": {"objective": "regression"},
            "diagnostics": true, "recovery": {"closed_form": false}, "judge": {}}"#,
    )
    .unwrap();
    let mut done: Vec<FinishedTask> = Vec::new();
    let mut next = Some(Stage::Import);
    while let Some(stage) = next {
        let view = JobView { spec: &spec, has_dataset: true, finished: &done, reused: Measurements::NONE };
        let tasks = plan(stage, view, Measurements::NONE).unwrap().tasks;
        assert!(!tasks.is_empty(), "{stage:?} has something to do on the longest road");
        for task in tasks {
            let json = serde_json::to_string(&task).unwrap();
            assert_eq!(serde_json::from_str::<PlannedTask>(&json).unwrap(), task);
            let mut result = task.work.sample();
            if let TaskResult::Import(import) = &mut result {
                import.has_source = true;
            }
            let json = serde_json::to_string(&result).unwrap();
            assert_eq!(serde_json::from_str::<TaskResult>(&json).unwrap(), result);
            assert_eq!((task.work.stage(), result.stage()), (stage, stage));
            done.push(finished(stage, task.index, result));
        }
        next = stage.next(&spec, true);
    }
    let seen: BTreeSet<Stage> = done.iter().map(|task| task.stage).collect();
    assert_eq!(seen.len() + 1, Stage::ALL.len(), "all but the inspection");
}
