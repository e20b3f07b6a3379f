//! What SACP proposes: the best of the search, pairwise apart, and the baselines that it has to beat.

use std::time::Instant;

use super::device::{Accelerator, Bounds};
use super::encoder::Encoder;
use super::layer::LayerGraph;
use super::ranking::sensitivity::{Sensitivity, SensitivitySum};
use super::ranking::similarity::Scorer;
use super::ranking::{Ranking, RankingName};
use super::report::{RefinementReport, SearchReport};
use super::space::{Band, Point, Space};
use super::state::SearchState;
use super::top::diverse;
use super::walk::{self, WalkPlan};
use super::{device, refine};
use crate::configuration::{Candidate, Configuration, Limits, Origin};
use crate::cost::CostModel;
use crate::graph::Graph;
use crate::group::Grouping;
use crate::importance::{Importance, Weights};
use crate::method;
use crate::rejection::{Code, Rejection};
use crate::spec::{JobSpec, Method, RankingChoice};

/// The least sum of level steps between two proposed candidates: a quarter of the number of groups, and at least three. Candidates that
/// differ by less are hardly told apart by training both.
pub fn least_distance(groups: usize) -> u32 {
    (groups / 4).max(3) as u32
}

/// The ranking keeps this many times `top_m`, so that enough are left when near-duplicates are dropped.
const SPARE: usize = 8;

/// What a search starts from.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// The uncut network.
    pub graph: &'a Graph,
    /// The coupled channel groups of `graph`.
    pub grouping: &'a Grouping,
    /// With latency, where that is the target.
    pub costs: &'a CostModel,
    /// Elements of every parameter, by name.
    pub weights: &'a Weights,
    /// The canonical order, by the spec's criterion.
    pub importance: &'a Importance,
    /// The job's spec.
    pub spec: &'a JobSpec,
    /// The trained encoder.
    pub encoder: &'a Encoder,
    /// Empty without a data set.
    pub sensitivities: &'a [Sensitivity],
    /// Compute threads.
    pub threads: usize,
}

/// Candidates, the ranked first and the baselines last, and what the search did.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The proposed candidates; their index is their place here.
    pub candidates: Vec<Candidate>,
    /// How the search ran.
    pub report: SearchReport,
}

/// Searches from where `begun` stands and adds the baselines; the similarity is scored by the accelerator when there is one.
/// `progress` hears how many configurations have been scored, with a state from which the search goes on to the same result. A
/// beginning that is not of this search's space is not taken up.
///
/// # Errors
/// The accelerator's; else as [`method::propose`]; [`Code::TargetUnreachable`] too when no configuration of the levels lies in the band.
pub fn propose<A: Accelerator>(
    ingredients: Ingredients<'_>,
    accelerator: Option<&A>,
    begun: SearchState,
    mut progress: impl FnMut(u64, &SearchState) + Send,
) -> Result<Proposal, A::Error>
where
    A::Error: From<Rejection>,
{
    let Ingredients { graph, grouping, costs, weights, importance, spec, encoder, sensitivities, threads } =
        ingredients;
    method::check_reachable(graph, grouping, costs, spec)?;
    let limits = Limits::new(graph, grouping, &spec.constraints)?;
    let space = Space::new(costs, &limits, spec.target.metric, spec.search.rate_step);
    let layers = LayerGraph::of(graph, grouping);
    let scorer = Scorer::new(&layers, &space, encoder);
    let additive = (!sensitivities.is_empty()).then(|| SensitivitySum::interpolate(&space, sensitivities));
    let band = Band::of_target(spec.target.reduction);

    let top_m = spec.search.top_m.get();
    let distance = least_distance(space.groups());
    let walk =
        WalkPlan { seed: spec.seed, candidates: spec.search.candidates.get() as u64, top: SPARE * top_m, threads };
    let refine = refine::RefinementPlan {
        seed: spec.seed,
        candidates: spec.search.refinements(),
        population: top_m,
        distance,
        threads,
    };
    let begun = if begun.fits(&space) { begun } else { SearchState::default() };
    let started = Instant::now();
    let mut report = |done: &SearchState| {
        let refined = done.refinement.map_or(0, |refinement| refinement.generations * refine::GENERATION);
        progress((done.next * walk::BLOCK).min(walk.candidates) + refined.min(refine.candidates), done);
    };
    // An encoder that was fitted to measurements is there to rank.
    let fitted = encoder.head.is_some();
    let by_encoder = if fitted { RankingName::Regression } else { RankingName::Similarity };
    // SensitivitySum scores are cheaper to compute than to send.
    let accelerator =
        accelerator.filter(|_| fitted || additive.is_none() || spec.search.ranking == RankingChoice::Similarity);
    let bounds = accelerator.map(|accelerator| accelerator.load(&scorer)).transpose()?;
    let (ranking, found) = match (&additive, spec.search.ranking) {
        (Some(additive), RankingChoice::Sensitivity) if !fitted => (
            RankingName::Sensitivity,
            both_phases((&walk, &refine), &space, band, additive, None::<&A::Bounds>, begun, &mut report)?,
        ),
        _ => (by_encoder, both_phases((&walk, &refine), &space, band, &scorer, bounds.as_ref(), begun, &mut report)?),
    };
    let seconds = started.elapsed().as_secs_f64();
    let refinement = found.refinement.zip(found.best.first()).map(|(refinement, best)| RefinementReport {
        candidates: refinement.generations * refine::GENERATION,
        score_before: f64::from(refinement.score_before),
        score_after: f64::from(best.score),
    });
    let best = diverse(&found.best, top_m, distance);

    let mut candidates: Vec<Candidate> = Vec::new();
    let mut add = |origin: Origin, configuration: Configuration| {
        if candidates.iter().all(|other| other.configuration != configuration) {
            candidates.push(Candidate::new(candidates.len(), origin, configuration, costs));
        }
    };
    for scored in &best {
        add(ranking.into(), configuration(&space, importance, &scored.levels));
    }
    if let Some(point) = additive.as_ref().and_then(|additive| greedy(&space, additive, band)) {
        add(Origin::GreedySensitivity, configuration(&space, importance, &point.levels));
    }
    for method in [Method::Uniform, Method::GlobalL1, Method::GlobalL2] {
        let spec = JobSpec { method, ..spec.clone() };
        // Rounding may leave a baseline no configuration near the target; it does not take part then.
        if let Ok(proposed) = method::propose(graph, grouping, costs, weights, &spec) {
            for candidate in proposed {
                add(candidate.origin, candidate.configuration);
            }
        }
    }
    if candidates.is_empty() {
        return Err(Rejection::new(
            Code::TargetUnreachable,
            format!(
                "No configuration lies within one percentage point above `target.{}` {}.",
                spec.target.metric.field(),
                spec.target.reduction.get()
            ),
        )
        .hint(format!(
            "Lower `constraints.round_to` (now {}) or `search.rate_step` (now {}).",
            spec.constraints.round_to.get(),
            spec.search.rate_step
        ))
        .into());
    }
    for candidate in &mut candidates {
        let nearest = space.nearest(&candidate.configuration.widths());
        let score = Some(f64::from(scorer.score(&scorer.state(&nearest))));
        (candidate.similarity, candidate.predicted_value) = if fitted { (None, score) } else { (score, None) };
        candidate.predicted_divergence = additive.as_ref().map(|additive| additive.distortion(&nearest));
    }
    let report = SearchReport {
        ranking,
        candidates: found.scored,
        refinement,
        log10_space: space.log10_size(),
        band: [band.low, band.high],
        min_distance: distance,
        seconds,
        threads,
        device: accelerator.map_or_else(|| "cpu".to_owned(), Accelerator::name),
    };
    Ok(Proposal { candidates, report })
}

/// The walk, then the moves from its best; these are few enough for the processor.
fn both_phases<B: Bounds>(
    (walk, refine): (&WalkPlan, &refine::RefinementPlan),
    space: &Space<'_>,
    band: Band,
    ranking: &impl Ranking,
    bounds: Option<&B>,
    begun: SearchState,
    report: &mut (dyn FnMut(&SearchState) + Send),
) -> Result<SearchState, B::Error> {
    let walked = match bounds {
        Some(bounds) => device::run(walk, space, band, ranking, bounds, begun, 32, report)?,
        None => walk::run(walk, space, band, ranking, begun, 32, report),
    };
    Ok(refine::run(refine, space, band, ranking, walked, report))
}

/// The most important channels of every group at a point.
pub fn configuration(space: &Space<'_>, importance: &Importance, levels: &[u8]) -> Configuration {
    Configuration::by_importance(importance, &space.kept(levels))
}

/// The sensitivity-guided allocation: from the whole network on, the step that costs the least distortion for what it removes,
/// until the band is reached. `None` when the last step leads past it.
fn greedy(space: &Space<'_>, additive: &SensitivitySum, band: Band) -> Option<Point> {
    let mut point = space.point(space.widest());
    while space.reduction(&point) < band.low {
        let mut best: Option<(f64, usize)> = None;
        for group in 0..space.groups() {
            let level = point.levels[group];
            if level == 0 {
                continue;
            }
            let before = point.cost();
            space.shift(&mut point, group, level - 1);
            let removed = before - point.cost();
            let overshoots = space.reduction(&point) > band.high;
            space.shift(&mut point, group, level);
            if removed <= 0.0 || overshoots {
                continue;
            }
            let penalty = f64::from(additive.penalty(group, level - 1) - additive.penalty(group, level));
            let price = penalty / removed;
            if best.is_none_or(|(least, _)| price < least) {
                best = Some((price, group));
            }
        }
        let (_, group) = best?;
        let level: u8 = point.levels[group] - 1;
        space.shift(&mut point, group, level);
    }
    Some(point)
}
