//! The target in milliseconds. Times are this machine's, so what is asserted holds whatever they are: a busy machine may refuse the
//! target, as too noisy or since what is left of it cannot be pruned away, and then says so with figures.

use secateur_core::graph::Graph;
use secateur_core::latency::LatencyTable;
use secateur_core::rejection::Code;
use secateur_core::stage::import::GRAPH;
use secateur_core::stage::{Stage, TaskResult};
use secateur_core::wire::Outcome;

use crate::job::{Job, example};

fn job(reduction: f64) -> Job {
    let spec = format!(
        r#"{{"target": {{"latency_reduction": {reduction}}}, "method": "uniform", "input_shape": [1, 8, 8], "fine_tune": null}}"#
    );
    Job::new(&spec, &example("vgg-digits.pt"), None)
}

fn table(job: &Job) -> &LatencyTable {
    let results = job.finished.iter().map(|task| &task.result);
    let mut tables = results.filter_map(|result| match result {
        TaskResult::Latency(result) => Some(&result.table),
        _ => None,
    });
    tables.next().expect("the latency stage ran")
}

/// Runs a job through a stage; whether its latency stage refuses the target, for one of the two reasons for which it may.
fn refused(job: &mut Job, last: Stage) -> bool {
    match job.run_through(last).map_err(|outcome| *outcome) {
        Ok(()) => false,
        Err(Outcome::Rejected { rejection }) => {
            let figures = match rejection.code {
                Code::WorkerTooNoisy => "rounds in",
                Code::TargetUnreachable => "`target.latency_reduction`",
                other => panic!("{other:?}: {}", rejection.detail),
            };
            assert!(rejection.detail.contains(figures), "{}", rejection.detail);
            true
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_latency_target_is_met_by_the_table_and_both_reductions_are_reported() {
    let mut job = job(0.2);
    if refused(&mut job, Stage::Verify) {
        return;
    }
    let report = job.written_report();
    let latency = report.latency.expect("the target is a latency");
    assert!((latency.predicted_reduction - 0.2).abs() <= 0.0101, "{latency:?}");
    let measured = 1.0 - report.pruned.latency_ms.p50 / report.base.latency_ms.p50;
    assert!((latency.measured_reduction - measured).abs() < 1e-9, "{latency:?}");
    assert!((report.reduction["latency_reduction"] - measured).abs() < 1e-9, "{:?}", report.reduction);
    let predicted = report.candidates[0].predicted_latency_ms.expect("the target is a latency");
    assert!((predicted / latency.predicted_pruned_ms - 1.0).abs() < 1e-9, "{latency:?}");
    assert!(latency.predicted_pruned_ms < latency.predicted_base_ms && latency.fit.networks > 20, "{latency:?}");
    assert!(report.pruned.macs < report.base.macs);
    let short = latency.predicted_reduction - latency.measured_reduction > 0.05;
    assert_eq!(report.warnings.iter().any(|warning| warning.contains("The latency table predicted")), short);
}

#[test]
fn the_table_holds_every_node_and_never_falls_with_a_width() {
    let mut job = job(0.01);
    if refused(&mut job, Stage::Latency) {
        return;
    }
    let table = table(&job);
    let graph = Graph::from_json(&std::fs::read_to_string(job.path(GRAPH)).unwrap()).unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(table.nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>(), names);
    assert!(table.base_ms > 0.0);
    for node in &table.nodes {
        assert!(node.constant_ms >= 0.0 && node.terms.iter().all(|term| term.coefficient > 0.0), "{node:?}");
    }
    let convolutions = graph.nodes().iter().zip(&table.nodes).filter(|(node, _)| node.op.contains("conv"));
    assert!(convolutions.clone().count() > 2);
    assert!(convolutions.clone().any(|(_, latency)| !latency.terms.is_empty()), "a width makes a difference");
}

#[test]
fn a_latency_out_of_reach_is_refused_once_it_has_been_measured() {
    let mut job = job(0.999);
    let rejection = job.rejection();
    assert_eq!(job.finished.last().map(|task| task.stage), Some(Stage::Graph), "the latency stage refuses");
    if rejection.code == Code::WorkerTooNoisy {
        return;
    }
    assert_eq!(rejection.code, Code::TargetUnreachable);
    assert!(rejection.detail.contains("`target.latency_reduction` 0.999 cannot be reached"), "{}", rejection.detail);
}
