//! From target, importance and method to the configurations that are tried.

use secateur_core::candidate;
use secateur_core::cost::{CostModel, reduction};
use secateur_core::group::Grouping;
use secateur_core::task::{CandidateCosts, SearchResult, TaskResult, file};

use super::{Finished, Task};
use crate::error::Error;
use crate::weights;

pub fn run(task: &Task) -> Result<Finished, Error> {
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let tensors = weights::load(&task.path(file::WEIGHTS), &graph, tch::Device::Cpu)?;
    let host = weights::to_host(&graph, &tensors)?;
    let candidates = candidate::propose(&graph, &grouping, &host, task.spec)?;
    task.write_json(file::CANDIDATES, &candidates)?;

    let base = CostModel::of(&graph, &grouping).full();
    let candidates = candidates
        .iter()
        .map(|candidate| CandidateCosts {
            index: candidate.index,
            origin: candidate.origin.clone(),
            costs: candidate.costs(),
            reduction: reduction(task.spec.target.metric, base, candidate.costs()),
        })
        .collect();
    Ok(Finished::new(TaskResult::Search(SearchResult { candidates }), [file::CANDIDATES]))
}
