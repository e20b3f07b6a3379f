//! Batch norm statistics, estimated anew after a surgery.
//!
//! The statistics in the file belong to the uncut activations. A few batches through the cut network in training mode give those
//! of the cut ones; no labels and no gradients are needed. As in PyTorch's `update_bn` the result is the plain average of
//! the batches' means and variances: each batch runs with momentum 1, so that the running statistics are the batch's own,
//! and they are averaged outside. Dropout stays off.

use std::time::{Duration, Instant};

use secateur_core::graph::{Graph, GraphFile, Literal, Node, Producer};
use secateur_core::operator;
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::network::Network;
use crate::torch::Training;

const BATCHES: usize = 16;
const BATCH_SIZE: i64 = 128;
/// No batch begins after this, once there are [`LEAST_BATCHES`].
const TIME: Duration = Duration::from_secs(10);
/// Batches that are run however long they take.
const LEAST_BATCHES: usize = 2;

/// Re-estimates the statistics of every batch norm, on up to 16 batches of 128 samples and for about ten seconds at most. A network
/// without batch norms comes back as it is.
///
/// # Errors
/// libtorch's.
pub fn reestimate(network: Network, split: &Split, seed: u64) -> Result<Network, Error> {
    reestimate_on(network, split, seed, BATCHES)
}

/// The same on fewer batches, for measurements that are repeated often.
///
/// # Errors
/// libtorch's.
pub fn reestimate_on(network: Network, split: &Split, seed: u64, most_batches: usize) -> Result<Network, Error> {
    let statistics = running_statistics(network.graph());
    if statistics.is_empty() {
        return Ok(network);
    }
    let batches = split.shuffled(split.affordable(BATCH_SIZE), seed, 0)?;
    let batches = &batches[..batches.len().min(most_batches)];
    if batches.is_empty() {
        return Ok(network);
    }

    let _no_grad = tch::no_grad_guard();
    let (graph, weights) = network.into_parts();
    let recorder = Network::new(for_recording(&graph)?, weights)?;
    let mut sums: Vec<Tensor> = statistics
        .iter()
        .map(|&index| Ok(recorder.weights()[index].f_zeros_like()?.f_to_kind(Kind::Double)?))
        .collect::<Result<_, Error>>()?;
    let started = Instant::now();
    let mut seen = 0;
    for batch in batches {
        if seen >= LEAST_BATCHES && started.elapsed() > TIME {
            break;
        }
        let _ = recorder.train(&split.select(batch)?, Training::USUAL)?;
        for (sum, &index) in sums.iter_mut().zip(&statistics) {
            let _ = sum.f_add_(&recorder.weights()[index])?;
        }
        seen += 1;
    }
    let (_, mut weights) = recorder.into_parts();
    for (sum, &index) in sums.iter().zip(&statistics) {
        weights[index].f_copy_(&sum.f_div_scalar(seen as i64)?)?;
    }
    Network::new(graph, weights)
}

/// A graph whose batch norms keep running statistics while it trains.
///
/// A batch norm made with `momentum=None` was traced with the literal 0, which would never update them.
pub fn for_training(graph: &Graph) -> Result<Graph, Error> {
    edited(graph, |node| {
        if has_running_statistics(node) && node.arg("momentum") == Some(&Literal::Float(0.0)) {
            node.set("momentum", Literal::Float(0.1));
        }
    })
}

fn for_recording(graph: &Graph) -> Result<Graph, Error> {
    edited(graph, |node| {
        if has_running_statistics(node) && node.arg("momentum").is_some() {
            node.set("momentum", Literal::Float(1.0));
        } else if node.op.contains("dropout") && node.arg("p").is_some() {
            node.set("p", Literal::Float(0.0));
        }
    })
}

fn edited(graph: &Graph, edit: impl Fn(&mut Node)) -> Result<Graph, Error> {
    let mut file: GraphFile = graph.file().clone();
    file.nodes.iter_mut().for_each(edit);
    Ok(Graph::new(file)?)
}

/// Whether there is a norm that keeps running statistics.
pub fn keeps_statistics(graph: &Graph) -> bool {
    graph.nodes().iter().any(has_running_statistics)
}

fn has_running_statistics(node: &Node) -> bool {
    !operator::running_statistics(node).is_empty()
}

/// Indices into the graph's parameters, each once.
fn running_statistics(graph: &Graph) -> Vec<usize> {
    let mut indices: Vec<usize> = graph
        .nodes()
        .iter()
        .flat_map(operator::running_statistics)
        .filter_map(|value| match graph.producer(value) {
            Producer::Parameter(index) => Some(index),
            Producer::Input(_) | Producer::Node { .. } => None,
        })
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}
