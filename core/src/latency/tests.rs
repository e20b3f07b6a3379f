use proptest::prelude::*;

use super::*;
use crate::configuration::{Candidate, Constraints, Limits};
use crate::cost::Metric;
use crate::importance::Weights;
use crate::method;
use crate::rejection::Code;
use crate::spec::JobSpec;
use crate::testing::Net;

/// A chain with a skip, a concatenation and a flattening head.
fn network() -> Graph {
    let mut net = Net::new(&[3, 8, 8]);
    net.conv("stem", 16, 3, 1).batch_norm("bn").relu();
    let stream = net.here();
    net.conv("a", 24, 3, 1).conv("b", 16, 3, 1).add(stream);
    let sum = net.here();
    net.conv("c", 12, 1, 1).cat(sum).flatten().linear("head", 10);
    net.graph()
}

fn setting() -> Timing {
    let setting = Setting { batch: 1, threads: 1, device: "cpu".to_owned() };
    Timing { setting, runs: 1, whole_over_nodes: 1.0 }
}

/// Milliseconds of a machine on which every node takes 0.01 ms, 1 ns per element written, 2 ns per element read and 0.1 ns per
/// multiply-accumulate, and `noise` of it more or less.
fn roofline(graph: &Graph, grouping: &Grouping, widths: &[usize], mut noise: impl FnMut() -> f64) -> Measured {
    let costs = CostModel::of(graph, grouping);
    let macs: std::collections::BTreeMap<usize, u64> = costs.macs_by_node(widths).into_iter().collect();
    let elements = |value| {
        let axes = 0..graph.value(value).shape.len();
        axes.map(|axis| grouping.width(graph, value, axis).at(widths)).product::<u64>() as f64
    };
    let node_ms = graph.nodes().iter().enumerate().map(|(index, node)| {
        let read = node.inputs().into_iter().filter(|&value| graph.as_parameter(value).is_none());
        let ms = 0.01
            + 1e-6 * elements(node.outputs[0])
            + 2e-6 * read.map(elements).sum::<f64>()
            + 1e-7 * macs.get(&index).copied().unwrap_or(0) as f64;
        ms * (1.0 + noise())
    });
    Measured { widths: widths.to_vec(), node_ms: node_ms.collect() }
}

struct Machine {
    graph: Graph,
    grouping: Grouping,
    table: LatencyTable,
}

impl Machine {
    fn new(mut noise: impl FnMut() -> f64) -> Self {
        let graph = network();
        let grouping = Grouping::of(&graph);
        let limits = Limits::new(&graph, &grouping, &Constraints::default()).unwrap();
        let measured: Vec<Measured> =
            widths(&limits, 1).iter().map(|widths| roofline(&graph, &grouping, widths, &mut noise)).collect();
        let table = fit(&graph, &grouping, setting(), &measured, 0);
        Self { graph, grouping, table }
    }

    fn true_ms(&self, widths: &[usize]) -> f64 {
        roofline(&self.graph, &self.grouping, widths, || 0.0).node_ms.iter().sum()
    }

    fn propose(&self, spec: &str) -> Result<Candidate, crate::rejection::Rejection> {
        let weights: Weights = self
            .graph
            .parameters()
            .iter()
            .map(|parameter| {
                let elements = self.graph.value(parameter.value).shape.iter().map(|size| size.fixed as usize).product();
                (parameter.name.clone(), (0..elements).map(|index: usize| (index % 7) as f32 - 3.0).collect())
            })
            .collect();
        let costs = self.table.costs(&self.graph, &self.grouping);
        let spec = JobSpec::from_json(spec).unwrap();
        Ok(method::propose(&self.graph, &self.grouping, &costs, &weights, &spec)?.remove(0))
    }
}

#[test]
fn a_machine_that_the_model_describes_is_recovered() {
    let machine = Machine::new(|| 0.0);
    let fit = machine.table.fit;
    assert!(fit.r2 > 0.999_999 && fit.held_out_worst < 1e-3, "{fit:?}");
    for widths in [[16, 24, 12], [2, 3, 2], [5, 20, 7], [11, 4, 12]] {
        let (predicted, real) = (machine.table.at(&widths), machine.true_ms(&widths));
        assert!((predicted / real - 1.0).abs() < 1e-3, "{widths:?}: {predicted} instead of {real}");
    }
}

#[test]
fn noise_of_a_tenth_on_every_node_stays_below_it_in_the_sum() {
    let mut state = 1u32;
    let machine = Machine::new(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        0.2 * (f64::from(state >> 8) / f64::from(1 << 24) - 0.5)
    });
    for widths in [[16, 24, 12], [5, 20, 7], [11, 4, 12]] {
        let (predicted, real) = (machine.table.at(&widths), machine.true_ms(&widths));
        assert!((predicted / real - 1.0).abs() < 0.05, "{widths:?}: {predicted} instead of {real}");
    }
}

#[test]
fn every_node_is_in_the_table_and_none_has_a_negative_weight() {
    let machine = Machine::new(|| 0.0);
    let names: Vec<&str> = machine.table.nodes.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(names, machine.graph.nodes().iter().map(|node| node.name.as_str()).collect::<Vec<_>>());
    for node in &machine.table.nodes {
        assert!(node.constant_ms >= 0.0 && node.terms.iter().all(|term| term.coefficient > 0.0), "{node:?}");
    }
}

proptest! {
    #[test]
    fn a_wider_network_is_never_predicted_faster(
        widths in prop::array::uniform3(1usize..=11),
        group in 0usize..3,
        noise in prop::collection::vec(-0.5f64..0.5, 64),
    ) {
        let mut noise = noise.iter().cycle();
        let machine = Machine::new(|| *noise.next().unwrap());
        let mut wider = widths;
        wider[group] += 1;
        prop_assert!(machine.table.at(&wider) >= machine.table.at(&widths) - 1e-12);
    }
}

#[test]
fn the_terms_of_the_costs_add_up_to_the_table() {
    let machine = Machine::new(|| 0.0);
    let costs = machine.table.costs(&machine.graph, &machine.grouping);
    let at = costs.at(&[5, 20, 7]).latency_ms.unwrap();
    assert!((at - machine.table.at(&[5, 20, 7])).abs() < 1e-12);
    assert!(costs.terms(Metric::Latency).len() < machine.table.nodes.len(), "terms of equal factors are one");
    assert_eq!(costs.full().latency_ms, Some(machine.table.base_ms), "the base is what was measured");
}

#[test]
fn the_classical_methods_meet_a_latency_target_within_a_percentage_point() {
    let machine = Machine::new(|| 0.0);
    for method in ["uniform", "global_l1", "global_l2"] {
        for share in [0.2, 0.4] {
            let spec = format!(r#"{{"target": {{"latency_reduction": {share}}}, "method": "{method}"}}"#);
            let widths = machine.propose(&spec).unwrap().configuration.widths();
            let removed = 1.0 - machine.true_ms(&widths) / machine.true_ms(&[16, 24, 12]);
            assert!((removed - share).abs() < 0.011, "{method} {share}: {removed}");
        }
    }
}

#[test]
fn a_latency_that_constants_forbid_is_refused_with_what_is_reachable() {
    let machine = Machine::new(|| 0.0);
    let error = machine.propose(r#"{"target": {"latency_reduction": 0.99}, "method": "uniform"}"#).unwrap_err();
    let least = Limits::new(&machine.graph, &machine.grouping, &Constraints::default()).unwrap().least();
    let reachable = 1.0 - machine.true_ms(&least) / machine.true_ms(&[16, 24, 12]);
    assert_eq!(error.code, Code::TargetUnreachable);
    let expected = format!(
        "`target.latency_reduction` 0.99 cannot be reached: the constraints allow at most {}",
        (reachable * 100.0).floor()
    );
    assert!(error.detail.starts_with(&expected), "{} does not start with {expected}", error.detail);
}

#[test]
fn measured_widths_keep_to_the_constraints_and_spread_over_them() {
    let graph = network();
    let constraints = Constraints { round_to: crate::number::Positive::new(4), ..Constraints::default() };
    let limits = Limits::new(&graph, &Grouping::of(&graph), &constraints).unwrap();
    let networks = widths(&limits, 3);
    assert_eq!(networks.len(), NETWORKS);
    assert_eq!((&networks[0], &networks[1]), (&vec![16, 24, 12], &limits.least()));
    for group in 0..limits.groups() {
        let seen: std::collections::BTreeSet<usize> = networks.iter().map(|widths| widths[group]).collect();
        assert!(seen.iter().eq(limits.allowed(group)), "{seen:?}");
    }
}
