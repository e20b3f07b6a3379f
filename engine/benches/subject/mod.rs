//! What the benchmarks of this folder measure on: a network, its data, its groups and the canonical order of their channels.

use std::path::Path;

use secateur_core::configuration::{Configuration, Limits};
use secateur_core::cost::CostModel;
use secateur_core::dataset::{Dataset, Split as SplitName};
use secateur_core::group::Grouping;
use secateur_core::importance::{Criterion, Evidence, Importance, ImportanceSpec, OnSamples, Weights};
use secateur_core::method;
use secateur_core::search::ranking::sensitivity::{self, Sensitivity};
use secateur_core::spec::JobSpec;
use secateur_engine::data::{Data, Split};
use secateur_engine::error::Error;
use secateur_engine::measure::distortion::DivergenceMeter;
use secateur_engine::measure::evaluate;
use secateur_engine::network::{Network, weights};
use secateur_engine::output::Outputs;
use secateur_engine::torch;
use tch::Device;

pub(crate) struct Subject {
    pub original: Network,
    pub outputs: Outputs,
    pub grouping: Grouping,
    pub weights: Weights,
    /// By the L1 norm.
    pub importance: Importance,
    pub costs: CostModel,
    pub limits: Limits,
    pub train: Split,
    pub val: Split,
    pub test: Split,
}

impl Subject {
    /// The data set must have labels.
    pub(crate) fn open(model: &Path, data: &Path, spec: &JobSpec, device: Device) -> Result<Self, Error> {
        let dataset = Dataset::open(data)?;
        let shape = dataset.summary().sample_shape.iter().map(|&size| size as i64).collect();
        let imported = torch::import(model, Some(&[shape]))?;
        let original = Network::new(imported.graph, imported.weights)?;
        let graph = original.graph();
        let grouping = Grouping::of(graph);
        let data = Data::of(dataset, graph, spec, device)?;
        let (train, val, test) =
            (data.split(SplitName::Train)?, data.split(SplitName::Val)?, data.split(SplitName::Test)?);
        let weights = weights::to_host(graph, original.weights())?;
        let evidence = Evidence { graph, grouping: &grouping, weights: &weights, on_samples: OnSamples::Nothing };
        let importance = Importance::measure(&evidence, ImportanceSpec::plain(Criterion::L1));
        let costs = CostModel::of(graph, &grouping);
        let limits = Limits::new(graph, &grouping, &spec.constraints)?;
        let outputs = Outputs::of(&original, &train, &[])?;
        Ok(Self { original, outputs, grouping, weights, importance, costs, limits, train, val, test })
    }

    pub(crate) fn sensitivities(
        &self,
        meter: &DivergenceMeter<'_>,
        importance: &Importance,
    ) -> Result<Vec<Sensitivity>, Error> {
        sensitivity::probes(&self.limits).into_iter().map(|probe| meter.sensitivity(importance, probe)).collect()
    }

    /// What each classical method cuts to remove this share of the MACs.
    pub(crate) fn baselines(&self, target: f64) -> Result<Vec<(&'static str, Configuration)>, Error> {
        let proposed = ["uniform", "global_l1", "global_l2"].map(|method| {
            let spec = format!(r#"{{"target": {{"flops_reduction": {target}}}, "method": "{method}"}}"#);
            let spec = JobSpec::from_json(&spec)?;
            let graph = self.original.graph();
            let candidate = method::propose(graph, &self.grouping, &self.costs, &self.weights, &spec)?.remove(0);
            Ok((method, candidate.configuration))
        });
        proposed.into_iter().collect()
    }

    /// Accuracy on both held-out splits together, for less noise.
    pub(crate) fn held_out(&self, network: &Network) -> Result<f64, Error> {
        let found = evaluate::held_out(network, &self.val, &self.test)?.expect("the data set has labels");
        let (vals, tests) = (self.val.count() as f64, self.test.count() as f64);
        Ok((found.val * vals + found.test * tests) / (vals + tests))
    }
}
