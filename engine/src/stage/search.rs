//! From target, importance and method to the configurations that are tried.

use secateur_core::configuration::{Candidate, CandidateCosts};
use secateur_core::cost::reduction;
use secateur_core::digest::digest;
use secateur_core::group::Grouping;
use secateur_core::search::SearchState;
use secateur_core::search::proposal::{self, Ingredients, Proposal};
use secateur_core::spec::Method;
use secateur_core::stage::import::WEIGHTS;
use secateur_core::stage::search::{CANDIDATES, SearchResult, SearchWork};
use secateur_core::{latency, method};

use super::task::Task;
use super::{encoder, importance};
use crate::encoder::scoring::OnDevice;
use crate::error::Error;
use crate::network::weights;

/// Proposes the configurations that are tried.
///
/// # Errors
/// The target cannot be reached, or no configuration lies near it.
pub(super) fn run(task: &Task, work: &SearchWork) -> Result<SearchResult, Error> {
    let SearchWork { sensitivities, latency } = work;
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let tensors = weights::load(&task.path(WEIGHTS), &graph, tch::Device::Cpu)?;
    let host = weights::to_host(&graph, &tensors)?;
    let costs = latency::costs(&graph, &grouping, latency.as_deref());
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
        let begun: SearchState = task.checkpoints.resume(|state, _| Ok(state)).unwrap_or_default();
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
        (method::propose(&graph, &grouping, &costs, &host, task.spec)?, None)
    };
    task.write_json(CANDIDATES, &candidates)?;

    let base = costs.full();
    let costs = |candidate: &Candidate| CandidateCosts {
        index: candidate.index,
        origin: candidate.origin,
        configuration: digest(&candidate.configuration),
        costs: candidate.costs(),
        reduction: reduction(task.spec.target.metric, base, candidate.costs()),
        widths: candidate.configuration.widths(),
        similarity: candidate.similarity,
        predicted_divergence: candidate.predicted_divergence,
        predicted_value: candidate.predicted_value,
    };
    Ok(SearchResult { candidates: candidates.iter().map(costs).collect(), search })
}
