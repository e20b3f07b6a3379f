//! The latency of a configuration, predicted from a table that was measured layer by layer.
//!
//! A task of the stage `latency` runs the uncut network and [`sample`]s of it at other widths, node by node. [`fit`] explains
//! each node's time by a constant, the elements that it reads and writes, and its multiply-accumulates, none with a
//! negative weight: the roofline of a layer, which for a convolution is `a + b in + c out + d in out`. All of these are
//! products of forms linear in the groups' widths, so predicted latency is costed, searched and allocated with the same
//! machinery as multiply-accumulates (see [`crate::cost`]), and never falls when a group gets wider.
//!
//! What the model does not see: steps. Kernels work on 8 or 16 channels at a time, so a width just above a multiple costs as
//! much as the next, and the fit goes through the middle of the steps. Uncut networks usually stand at the foot of one (64,
//! 128), where the model says too much: so reductions are counted from the measured time of the uncut network, not from the
//! model's. The samples keep to the job's constraints, so with `constraints.round_to: 8` only widths that the search may use
//! are measured.
//!
//! How networks are timed, and when a table is good enough, is said in [`mod@measure`].

mod feature;
mod fit;
mod measure;
mod sample;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cost::{CostModel, Term};
use crate::graph::Graph;
use crate::group::Grouping;

pub use fit::{Measured, Timing, fit};
pub use measure::{MOST_VISITS, Stopwatch, Subject, USUAL_VISITS, Visit, measure};
#[cfg(test)]
use sample::widths;
pub use sample::{NETWORKS, PROBES};

/// What a forward pass was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Samples in one forward pass.
    pub batch: u32,
    /// Compute threads.
    pub threads: u32,
    /// The device, `cpu` or `cuda:0`.
    pub device: String,
}

/// The fitted latency of every node of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyTable {
    /// The batch size, threads and device of the measurement.
    #[serde(flatten)]
    pub setting: Setting,
    /// The uncut network as measured, milliseconds of one forward pass.
    pub base_ms: f64,
    /// In program order.
    pub nodes: Vec<NodeLatency>,
    /// How well the table explains the measurements.
    pub fit: LatencyFit,
}

/// One node's milliseconds as a sum of products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLatency {
    /// Name of the node.
    pub node: String,
    /// Milliseconds that the widths do not change.
    pub constant_ms: f64,
    /// Milliseconds that the widths change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<Term>,
}

/// How well the table explains what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyFit {
    /// Networks of different widths that were timed, the uncut one included.
    pub networks: u32,
    /// Forward passes of each.
    pub runs: u32,
    /// Share of the variance between networks that the table explains.
    pub r2: f64,
    /// Relative error on networks that the fit had not seen, mean over four folds.
    pub held_out_error: f64,
    /// The worst of those.
    pub held_out_worst: f64,
    /// Relative error of the model on the uncut network; above zero where its round widths are faster than those between.
    pub base_error: f64,
    /// Time of a whole pass over the sum of its nodes, median; the table is scaled by it.
    pub whole_over_nodes: f64,
    /// Rounds in which the networks took turns.
    #[serde(default)]
    pub rounds: u32,
    /// How far the share of the latency that the table says is removed is off for networks near the target which the fit had not
    /// seen: root of the mean square over the networks, as a share of the uncut latency.
    #[serde(default)]
    pub target_error: f64,
}

impl LatencyTable {
    /// Predicted milliseconds of one forward pass at these widths, one per group.
    pub fn at(&self, widths: &[usize]) -> f64 {
        let widths: Vec<f64> = widths.iter().map(|&width| width as f64).collect();
        self.nodes.iter().map(|node| node.at(&widths)).sum()
    }

    /// The costs of the network that it was measured on, latency included.
    pub fn costs(&self, graph: &Graph, grouping: &Grouping) -> CostModel {
        CostModel::of(graph, grouping).with_latency(self.base_ms, self.terms())
    }

    /// The products whose sum is the predicted latency; those of equal factors are added up.
    fn terms(&self) -> Vec<Term> {
        let constant = self.nodes.iter().map(|node| node.constant_ms).sum();
        let mut terms = vec![Term { coefficient: constant, factors: Vec::new() }];
        for term in self.nodes.iter().flat_map(|node| &node.terms) {
            match terms.iter_mut().find(|other| other.factors == term.factors) {
                Some(other) => other.coefficient += term.coefficient,
                None => terms.push(term.clone()),
            }
        }
        terms
    }
}

/// The costs of a job's network; with latency where that is the target and a table was measured.
pub fn costs(graph: &Graph, grouping: &Grouping, table: Option<&LatencyTable>) -> CostModel {
    match table {
        Some(table) => table.costs(graph, grouping),
        None => CostModel::of(graph, grouping),
    }
}

impl NodeLatency {
    fn at(&self, widths: &[f64]) -> f64 {
        self.constant_ms + self.terms.iter().map(|term| term.at(widths)).sum::<f64>()
    }
}

/// Wall time of one forward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p95: f64,
    /// Samples in one forward pass.
    pub batch: u32,
    /// Compute threads.
    pub threads: u32,
    /// The device, `cpu` or `cuda:0`.
    pub device: String,
    /// Forward passes timed.
    pub runs: u32,
}

#[cfg(any(test, feature = "testing"))]
impl LatencyTable {
    /// A made-up table of a network without nodes, 2 ms.
    pub fn sample() -> Self {
        Self {
            setting: Setting { batch: 1, threads: 1, device: "cpu".to_owned() },
            base_ms: 2.0,
            nodes: Vec::new(),
            fit: LatencyFit {
                networks: 26,
                runs: 48,
                r2: 0.99,
                held_out_error: 0.02,
                held_out_worst: 0.05,
                base_error: 0.01,
                whole_over_nodes: 1.0,
                rounds: 6,
                target_error: 0.01,
            },
        }
    }
}

#[cfg(test)]
mod tests;
