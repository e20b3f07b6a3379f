//! The stage `sensitivity`: what cutting each group alone to some widths costs in output divergence, after the repair in closed form where
//! the job has it. With `sacp` and a data set only.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::definition::Definition;
use super::job::{JobView, PlanError, PlannedTask, sharded};
use super::measurement::{Kept, Measurements};
use super::{Stage, Work, import};
use crate::search::ranking::sensitivity::{Probe, Sensitivity as Measured};
use crate::spec::{JobSpec, Method};

/// Raised when the way in which sensitivities are measured changes their values.
const VERSION: u32 = 4;

/// Sensitivities that one task measures.
const PROBES_PER_TASK: usize = 64;

/// The stage.
pub struct Sensitivity;

/// Which sensitivities a task measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensitivityWork {
    /// Groups and widths.
    pub probes: Vec<Probe>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensitivityResult {
    /// One for each probe.
    pub measured: Vec<Measured>,
}

/// The value of a sensitivity as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptValue {
    divergence: f64,
}

fn name(Probe { group, width }: Probe) -> String {
    format!("sensitivity/{group}/{width}")
}

impl<'a> JobView<'a> {
    /// The sensitivities that the search needs; none before the stage `graph`.
    fn probes(self) -> &'a [Probe] {
        self.graph().map_or(&[], |graph| &graph.probes)
    }

    /// All sensitivities, measured and taken over, by group.
    pub(super) fn sensitivities(self) -> Vec<Measured> {
        let measured = self.results::<SensitivityResult>(Stage::Sensitivity);
        let measured = measured.flat_map(|(_, result)| result.measured.iter().copied());
        let mut all: Vec<Measured> = measured.chain(self.reused.sensitivities.iter().copied()).collect();
        all.sort_by_key(Measured::probe);
        all
    }
}

impl Definition for Sensitivity {
    type Work = SensitivityWork;
    type Result = SensitivityResult;

    fn is_part_of(spec: &JobSpec, has_dataset: bool) -> bool {
        spec.method == Method::Sacp && has_dataset
    }

    fn plan(job: JobView<'_>, reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let is_reused = |probe: &Probe| reused.sensitivities.iter().any(|known| known.probe() == *probe);
        let left: Vec<Probe> = job.probes().iter().copied().filter(|probe| !is_reused(probe)).collect();
        let task = |(index, shard): (usize, &[Probe])| PlannedTask {
            index,
            work: Work::Sensitivity(SensitivityWork { probes: shard.to_vec() }),
            inputs: import::network().into_iter().chain(job.importance()).chain(job.dataset()).collect(),
        };
        Ok(sharded(&left, PROBES_PER_TASK).map(task).collect())
    }

    fn files(_work: &SensitivityWork) -> Vec<String> {
        Vec::new()
    }

    /// The order of importance says which channels a width keeps.
    fn procedure(spec: &JobSpec) -> Option<Value> {
        Some(
            json!({"sensitivity": VERSION, "importance": spec.importance, "recovery": spec.recovery, "outputs": spec.outputs(), "labels": spec.label_settings()}),
        )
    }

    fn measurements(job: JobView<'_>) -> Vec<String> {
        job.probes().iter().copied().map(name).collect()
    }

    fn brought(result: &SensitivityResult, _job: JobView<'_>) -> Vec<Kept> {
        let kept =
            |measured: &Measured| Kept::new(name(measured.probe()), &KeptValue { divergence: measured.divergence });
        result.measured.iter().map(kept).collect()
    }

    fn known(job: JobView<'_>, kept: &[Kept]) -> Measurements {
        let measured = |&probe: &Probe| {
            let kept = kept.iter().find(|kept| kept.name == name(probe))?;
            let KeptValue { divergence } = serde_json::from_value(kept.value.clone()).ok()?;
            Some(Measured { group: probe.group, width: probe.width, divergence })
        };
        Measurements { sensitivities: job.probes().iter().filter_map(measured).collect(), ..Measurements::default() }
    }

    fn taken_over(job: JobView<'_>, known: &Measurements) -> Result<Measurements, PlanError> {
        let probes = &job.graph().ok_or(PlanError { stage: Stage::Sensitivity, missing: "graph" })?.probes;
        let wanted = |known: &&Measured| probes.contains(&known.probe());
        let sensitivities = known.sensitivities.iter().filter(wanted).copied().collect();
        Ok(Measurements { sensitivities, ..Measurements::default() })
    }

    fn count_reused(reused: &Measurements) -> usize {
        reused.sensitivities.len()
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(work: &SensitivityWork) -> SensitivityResult {
        let measured = |&Probe { group, width }: &Probe| Measured { group, width, divergence: 0.5 };
        SensitivityResult { measured: work.probes.iter().map(measured).collect() }
    }
}
