//! From measured times to a table: least squares with non-negative weights, node by node.

use super::{LatencyFit, LatencyTable, NodeLatency, Setting, feature};
use crate::cost::Term;
use crate::graph::{Graph, Node};
use crate::group::Grouping;

/// The times of one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// One per group.
    pub widths: Vec<usize>,
    /// Milliseconds of every node, in program order.
    pub node_ms: Vec<f64>,
}

impl Measured {
    /// Milliseconds of all nodes.
    pub(super) fn sum(&self) -> f64 {
        self.node_ms.iter().sum()
    }
}

/// How the networks were timed.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// The batch size, threads and device of the measurement.
    pub setting: Setting,
    /// Forward passes of each network.
    pub runs: u32,
    /// Time of a whole pass over the sum of its nodes.
    pub whole_over_nodes: f64,
}

const FOLDS: usize = 4;

/// Fits a table. The first network is the uncut one, the last `probes` are those near the target.
///
/// Rows are weighted by one over the network's latency, so that relative errors of whole networks count; on the networks
/// that were tried this left smaller errors on unseen widths than plain least squares.
pub fn fit(graph: &Graph, grouping: &Grouping, timing: Timing, measured: &[Measured], probes: usize) -> LatencyTable {
    let Timing { setting, runs, whole_over_nodes } = timing;
    let features: Vec<Vec<Term>> = graph.nodes().iter().map(|node| feature::of(graph, grouping, node)).collect();
    let base_ms = whole_over_nodes * measured[0].sum();
    let table_of = |seen: &[&Measured]| LatencyTable {
        setting: setting.clone(),
        base_ms,
        nodes: solve(graph, &features, seen, whole_over_nodes),
        fit: LatencyFit {
            networks: measured.len() as u32,
            runs,
            r2: 0.0,
            held_out_error: 0.0,
            held_out_worst: 0.0,
            base_error: 0.0,
            whole_over_nodes,
            rounds: 1,
            target_error: 0.0,
        },
    };
    let off = |table: &LatencyTable, network: &Measured| table.at(&network.widths) - whole_over_nodes * network.sum();
    let held_out = held_out(measured, &table_of, &off);
    let relative =
        held_out.iter().zip(&measured[1..]).map(|(off, network)| off.abs() / (whole_over_nodes * network.sum()));
    let near_target = &held_out[held_out.len() - probes..];
    let mut table = table_of(&measured.iter().collect::<Vec<_>>());
    table.fit.r2 = explained(&table, measured);
    table.fit.held_out_error = relative.clone().sum::<f64>() / held_out.len().max(1) as f64;
    table.fit.held_out_worst = relative.fold(0.0, f64::max);
    table.fit.base_error = off(&table, &measured[0]) / base_ms;
    let squares = near_target.iter().map(|off| (off / base_ms).powi(2)).sum::<f64>();
    table.fit.target_error = (squares / probes.max(1) as f64).sqrt();
    table
}

/// How far, in milliseconds, the tables of three quarters of the networks are off on each of the last quarter, in order of the networks
/// without the uncut one. That one is always seen.
fn held_out(
    measured: &[Measured],
    table_of: &dyn Fn(&[&Measured]) -> LatencyTable,
    off: &dyn Fn(&LatencyTable, &Measured) -> f64,
) -> Vec<f64> {
    let without = |fold: usize| {
        let seen = measured.iter().enumerate().filter(|&(index, _)| index == 0 || index % FOLDS != fold);
        table_of(&seen.map(|(_, network)| network).collect::<Vec<_>>())
    };
    let tables: Vec<LatencyTable> = (0..FOLDS).map(without).collect();
    measured.iter().enumerate().skip(1).map(|(index, network)| off(&tables[index % FOLDS], network)).collect()
}

/// Share of the variance between networks that the table explains.
fn explained(table: &LatencyTable, measured: &[Measured]) -> f64 {
    let times: Vec<f64> = measured.iter().map(|network| table.fit.whole_over_nodes * network.sum()).collect();
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let all: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
    let left: f64 = times.iter().zip(measured).map(|(time, network)| (time - table.at(&network.widths)).powi(2)).sum();
    if all > 0.0 { 1.0 - left / all } else { 0.0 }
}

/// Every node's model, its milliseconds multiplied by `scale`.
fn solve(graph: &Graph, features: &[Vec<Term>], networks: &[&Measured], scale: f64) -> Vec<NodeLatency> {
    let weights: Vec<f64> = networks.iter().map(|network| 1.0 / network.sum()).collect();
    let widths: Vec<Vec<f64>> =
        networks.iter().map(|network| network.widths.iter().map(|&width| width as f64).collect()).collect();
    let column = |term: &Term| widths.iter().zip(&weights).map(|(widths, weight)| weight * term.at(widths)).collect();
    let node_latency = |(index, node): (usize, &Node)| {
        let columns: Vec<Vec<f64>> = [weights.clone()].into_iter().chain(features[index].iter().map(column)).collect();
        let times: Vec<f64> =
            networks.iter().zip(&weights).map(|(network, weight)| weight * network.node_ms[index]).collect();
        let solved = non_negative_least_squares(&columns, &times);
        let terms = features[index].iter().zip(&solved[1..]).filter(|&(_, &milliseconds)| milliseconds > 0.0);
        let scaled = |(term, milliseconds): (&Term, &f64)| Term {
            coefficient: scale * milliseconds * term.coefficient,
            factors: term.factors.clone(),
        };
        NodeLatency { node: node.name.clone(), constant_ms: scale * solved[0], terms: terms.map(scaled).collect() }
    };
    graph.nodes().iter().enumerate().map(node_latency).collect()
}

/// Weights `x >= 0` that minimise `|Σ x_i column_i - target|²`: the best of the unconstrained solutions over all subsets of
/// columns that are not negative, which for the few columns there are is exact.
fn non_negative_least_squares(columns: &[Vec<f64>], target: &[f64]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let gram: Vec<Vec<f64>> = columns.iter().map(|a| columns.iter().map(|b| dot(a, b)).collect()).collect();
    let moments: Vec<f64> = columns.iter().map(|column| dot(column, target)).collect();
    let mut best = (0.0, vec![0.0; columns.len()]);
    for subset in 1u32..1 << columns.len() {
        let chosen: Vec<usize> = (0..columns.len()).filter(|index| (subset >> index) & 1 == 1).collect();
        let Some(solved) = solve_symmetric(&gram, &moments, &chosen) else { continue };
        if solved.iter().any(|&weight| weight < 0.0) {
            continue;
        }
        // |target|² falls by this much: at a least-squares solution the residual is orthogonal to what is explained.
        let gain: f64 = chosen.iter().zip(&solved).map(|(&index, weight)| weight * moments[index]).sum();
        if gain > best.0 {
            let mut weights = vec![0.0; columns.len()];
            for (&index, &weight) in chosen.iter().zip(&solved) {
                weights[index] = weight;
            }
            best = (gain, weights);
        }
    }
    best.1
}

/// Solves the normal equations of some columns by Cholesky's method; `None` when they are dependent.
fn solve_symmetric(gram: &[Vec<f64>], moments: &[f64], chosen: &[usize]) -> Option<Vec<f64>> {
    let count = chosen.len();
    let mut lower = vec![vec![0.0; count]; count];
    for row in 0..count {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
            let rest = gram[chosen[row]][chosen[column]] - known;
            if row == column {
                // Below this the column is a combination of the others, up to rounding.
                if rest <= 1e-9 * gram[chosen[row]][chosen[row]] {
                    return None;
                }
                lower[row][row] = f64::sqrt(rest);
            } else {
                lower[row][column] = rest / lower[column][column];
            }
        }
    }
    let mut solved: Vec<f64> = chosen.iter().map(|&index| moments[index]).collect();
    for (row, factors) in lower.iter().enumerate() {
        let known: f64 = factors[..row].iter().zip(&solved).map(|(factor, solved)| factor * solved).sum();
        solved[row] = (solved[row] - known) / factors[row];
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|k| lower[k][row] * solved[k]).sum();
        solved[row] = (solved[row] - known) / lower[row][row];
    }
    Some(solved)
}
