//! How long a job will take, as an earlier one of the like took it.

use std::collections::BTreeMap;

use secateur_core::stage::Stage;

use super::StageProgress;

/// Seconds until a job ends: what is left of its stage, and the seconds that `earlier`, a job on the same model and data set with the same
/// method, spent in each stage after it. `None` when nothing is known of the stage or there was no such job.
pub fn eta_s(stage: Stage, progress: &BTreeMap<Stage, StageProgress>, earlier: &BTreeMap<Stage, f64>) -> Option<f64> {
    if earlier.is_empty() {
        return None;
    }
    let here = progress.get(&stage).and_then(|progress| progress.eta_s).or_else(|| {
        let part = progress.get(&stage).map_or(0.0, |progress| progress.done as f64 / progress.total.max(1) as f64);
        earlier.get(&stage).map(|seconds| seconds * (1.0 - part))
    })?;
    let later: f64 = earlier.iter().filter(|(later, _)| **later > stage).map(|(_, seconds)| seconds).sum();
    Some(here + later)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, eta_s: Option<f64>) -> StageProgress {
        let unit = "epochs".to_owned();
        StageProgress { done, total: 4, unit, rate: None, eta_s, note: None, reused: 0, deadline: None }
    }

    #[test]
    fn what_is_left_is_the_rest_of_the_stage_and_the_stages_after_it() {
        let earlier =
            BTreeMap::from([(Stage::Import, 3.0), (Stage::Tune, 100.0), (Stage::Export, 5.0), (Stage::Verify, 7.0)]);
        let eta = |stage, progress| eta_s(stage, &BTreeMap::from([(stage, progress)]), &earlier);
        assert_eq!(eta(Stage::Tune, progress(1, None)), Some(75.0 + 12.0));
        assert_eq!(eta(Stage::Tune, progress(1, Some(30.0))), Some(30.0 + 12.0), "its own rate is known better");
        assert_eq!(eta(Stage::Verify, progress(0, None)), Some(7.0));
        assert_eq!(eta(Stage::Screen, progress(2, None)), None, "the earlier job had no such stage");
        assert_eq!(eta_s(Stage::Tune, &BTreeMap::new(), &BTreeMap::new()), None);
    }
}
