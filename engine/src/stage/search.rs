//! From target, importance and method to the configurations that are tried.

use secateur_core::candidate::{self, Candidate};
use secateur_core::cost::reduction;
use secateur_core::group::Grouping;
use secateur_core::latency::{self, LatencyTable};
use secateur_core::measurement;
use secateur_core::search::Progress;
use secateur_core::search::additive::Sensitivity;
use secateur_core::search::proposal::{self, Ingredients, Proposal};
use secateur_core::spec::Method;
use secateur_core::task::{CandidateCosts, SearchResult, TaskResult, file};

use super::{Finished, Task, encoder, importance};
use crate::error::Error;
use crate::scoring::OnDevice;
use crate::weights;

pub fn run(task: &Task, sensitivities: &[Sensitivity], latency: Option<&LatencyTable>) -> Result<Finished, Error> {
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let tensors = weights::load(&task.path(file::WEIGHTS), &graph, tch::Device::Cpu)?;
    let host = weights::to_host(&graph, &tensors)?;
    let costs = latency::costs(&graph, &grouping, latency);
    let (candidates, search) = if task.spec.method == Method::Sacp {
        let ingredients = Ingredients {
            graph: &graph,
            grouping: &grouping,
            costs: &costs,
            weights: &host,
            importance: &importance::order(task, &graph, &grouping, &host)?,
            spec: task.spec,
            encoder: &encoder::load(task)?,
            sensitivities,
            threads: task.threads,
        };
        let scored = task.spec.search.candidates.get() as u64 + task.spec.search.refinements();
        let gpu = task.device.is_cuda().then_some(OnDevice(task.device));
        let mut progress = task.messages.count(scored, "candidates");
        let begun: Progress = task.checkpoints.resume(|state, _| Ok(state)).unwrap_or_default();
        let Proposal { candidates, report } = proposal::propose(ingredients, gpu.as_ref(), begun, |done, state| {
            progress.reach(done);
            task.checkpoints.save(&format!("{done} of {scored} configurations"), state, || Ok(Vec::new()));
        })?;
        task.messages.log(format!(
            "{} configurations of 10^{:.0} scored in {:.2} s on {}, {} proposed",
            report.candidates,
            report.log10_space,
            report.seconds,
            report.device,
            candidates.len()
        ));
        if let Some(refinement) = report.refinement {
            task.messages.log(format!(
                "{} evolutionary moves: best score {:.6} before, {:.6} after",
                refinement.candidates, refinement.score_before, refinement.score_after
            ));
        }
        (candidates, Some(Box::new(report)))
    } else {
        (candidate::propose(&graph, &grouping, &costs, &host, task.spec)?, None)
    };
    task.write_json(file::CANDIDATES, &candidates)?;

    let base = costs.full();
    let costs = |candidate: &Candidate| CandidateCosts {
        index: candidate.index,
        origin: candidate.origin.clone(),
        configuration: measurement::digest(&candidate.configuration),
        costs: candidate.costs(),
        reduction: reduction(task.spec.target.metric, base, candidate.costs()),
        similarity: candidate.similarity,
        predicted_divergence: candidate.predicted_divergence,
        predicted_value: candidate.predicted_value,
    };
    let result = SearchResult { candidates: candidates.iter().map(costs).collect(), search };
    Ok(Finished::new(TaskResult::Search(result), [file::CANDIDATES]))
}
