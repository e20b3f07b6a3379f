//! What can be said of a model before a job: its layers, groups, costs and limits. Nothing is kept for later stages.

use std::path::Path;
use std::time::{Duration, Instant};

use secateur_core::configuration::{Configuration, Constraints, Limits};
use secateur_core::graph::Graph;
use secateur_core::group::Grouping;
use secateur_core::inspection::{ExpectedExport, ExportKind, summarise};
use secateur_core::spec::InspectionSpec;
use secateur_core::stage::Stage;
use secateur_core::stage::graph::SUMMARY;
use secateur_core::stage::import::MODEL;
use secateur_core::stage::inspect::InspectResult;
use secateur_core::surgery;
use tch::Tensor;

use super::import;
use super::task::Workspace;
use crate::error::Error;
use crate::network;
use crate::process::deadline;
use crate::torch::{self, Imported};

/// An import that took longer is not followed by a trial.
const LONGEST_BEFORE_TRIAL: Duration = Duration::from_secs(15);
/// The archive that a trial writes.
const TRIAL: &str = "trial.pt";

/// Looks at a model.
///
/// # Errors
/// The model is refused, or looking at it takes too long.
pub(super) fn run(workspace: &Workspace, inspection: &InspectionSpec) -> Result<InspectResult, Error> {
    let began = Instant::now();
    let Imported { graph, weights, .. } = import::import(workspace, vec![inspection.model_inputs()], Stage::Inspect)?;
    let (model, trial) = (workspace.path(MODEL), workspace.path(TRIAL));
    let look = move || {
        let grouping = Grouping::of(&graph);
        let mut summary = summarise(&graph, &grouping);
        // Somebody waits, and the trial takes about as long again as the import.
        if began.elapsed() < LONGEST_BEFORE_TRIAL {
            summary.export = expected_export(&model, (&graph, &weights), &grouping, &trial);
        }
        (summary, grouping.groups().len())
    };
    let what = "Grouping the channels and cutting them on trial";
    let summarised = deadline::within(import::LONGEST_INSPECTION, what, workspace.messages, look)?;
    let (summary, groups) = summarised.map_err(|panic| import::given_up(&panic))?;
    workspace.write_json(SUMMARY, &summary)?;
    Ok(InspectResult { base: summary.base, groups })
}

/// How a file with half the channels of every group can be written; `None` when there is nothing to cut, or it cannot be told.
fn expected_export(
    model: &Path,
    (graph, weights): (&Graph, &[Tensor]),
    grouping: &Grouping,
    trial: &Path,
) -> Option<ExpectedExport> {
    let configuration = halved(graph, grouping)?;
    let cut = surgery::cut(graph, grouping, &configuration).ok()?;
    let smaller = network::cut::apply(graph, &cut, weights).ok()?;
    let patched = torch::patch(model, graph, (&cut.graph, &smaller), trial, &[]);
    let _ = std::fs::remove_file(trial);
    Some(match patched {
        Ok(_) => ExpectedExport { kind: ExportKind::Patched, reason: None, lost: Vec::new() },
        Err(reason) => ExpectedExport {
            kind: ExportKind::Recorded,
            reason: Some(reason.to_string()),
            lost: torch::lost_by_recording(model, graph).ok()?,
        },
    })
}

/// The first channels of every group, half of them or what default constraints allow.
fn halved(graph: &Graph, grouping: &Grouping) -> Option<Configuration> {
    let limits = Limits::new(graph, grouping, &Constraints::default()).ok()?;
    let half = |(group, channels): (usize, usize)| (0..limits.at_least(group, channels / 2) as u32).collect();
    let channels = grouping.groups().iter().map(secateur_core::group::Group::channels);
    let keep: Vec<Vec<u32>> = channels.enumerate().map(half).collect();
    (!keep.is_empty()).then_some(Configuration { keep })
}
