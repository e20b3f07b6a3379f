//! What can be said of a model before a job: its layers, groups, costs and limits. Nothing is kept for later stages.

use secateur_core::group::Grouping;
use secateur_core::inspection::summarise;
use secateur_core::spec::InspectionSpec;
use secateur_core::stage::Stage;
use secateur_core::stage::graph::SUMMARY;
use secateur_core::stage::inspect::InspectResult;

use super::import;
use super::task::Workspace;
use crate::error::Error;
use crate::process::deadline;

/// Looks at a model.
///
/// # Errors
/// The model is refused, or looking at it takes too long.
pub(super) fn run(workspace: &Workspace, inspection: &InspectionSpec) -> Result<InspectResult, Error> {
    let graph = import::import(workspace, inspection.model_inputs(), Stage::Inspect)?.graph;
    let look = || {
        let grouping = Grouping::of(&graph);
        (summarise(&graph, &grouping), grouping.groups().len())
    };
    let summarised = deadline::within(import::LONGEST_INSPECTION, "Grouping the channels", workspace.messages, look)?;
    let (summary, groups) = summarised.map_err(|panic| import::given_up(&panic))?;
    workspace.write_json(SUMMARY, &summary)?;
    Ok(InspectResult { base: summary.base, groups })
}
