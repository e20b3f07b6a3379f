//! Distillation of hidden activations: a channel that is left is a channel of the original, so what a cut network holds behind its layers
//! compares with what the original holds there, without anything between. Hints are those of Romero et al., "FitNets: Hints for Thin
//! Deep Nets", ICLR 2015 (arXiv 1412.6550), at the inputs of every layer that lost some.

use secateur_core::graph::{Graph, Output, ValueId};
use secateur_core::output::before_squashing;
use secateur_core::surgery::Hint;
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::Error;
use crate::network::Network;
use crate::torch::{Mode, Program};

/// Samples that the original's own spread is measured on.
const SAMPLES: i64 = 256;

/// Where a network is compared with its original, besides its answers.
pub(super) struct Hints<'a> {
    original: &'a Network,
    program: Program,
    points: Vec<Point>,
}

/// One hidden value.
struct Point {
    axis: i64,
    kept: Tensor,
    /// The variance of each channel that is left, or of all where a channel hardly varies.
    variance: Tensor,
}

impl<'a> Hints<'a> {
    /// `None` where there is nothing to compare.
    pub(super) fn of(original: &'a Network, hints: &[Hint], split: &Split) -> Result<Option<Self>, Error> {
        if hints.is_empty() || split.count() < 2 {
            return Ok(None);
        }
        let program = Program::prepare(&returning(original.graph(), hints)?)?;
        let mut found = Self { original, program, points: Vec::new() };
        let samples = split.range(0..SAMPLES.min(split.count()).min(split.affordable(SAMPLES)))?;
        let values = found.run(&samples)?.split_off(found.answers());
        for (hint, value) in hints.iter().zip(values) {
            let kept: Vec<i64> = hint.kept.iter().map(|&index| i64::from(index)).collect();
            let kept = Tensor::f_from_slice(&kept)?.f_to(value.device())?;
            let axis = hint.axis as i64;
            let value = value.f_index_select(axis, &kept)?.f_to_kind(Kind::Float)?;
            let others: Vec<i64> = (0..value.dim() as i64).filter(|&other| other != axis).collect();
            let variance = value.f_var_dim(&others[..], false, true)?;
            let mean = variance.f_mean(Kind::Float)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
            let variance = variance.f_maximum(&mean.f_mul_scalar(0.1)?)?;
            found.points.push(Point { axis, kept, variance });
        }
        Ok(Some(found))
    }

    fn answers(&self) -> usize {
        self.original.batch_axes().len()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let _no_grad = tch::no_grad_guard();
        Ok(self.program.run(self.original.weights(), inputs, Mode::Evaluate)?)
    }

    /// The original's answers, and its hidden values at the channels that are left.
    pub(super) fn of_original(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>), Error> {
        let mut answers = self.run(inputs)?;
        let hidden = answers.split_off(self.answers());
        let chosen =
            hidden.iter().zip(&self.points).map(|(value, point)| Ok(value.f_index_select(point.axis, &point.kept)?));
        Ok((answers, chosen.collect::<Result<_, Error>>()?))
    }

    /// The mean over the points of the squared difference over the variance.
    pub(super) fn loss(&self, hidden: &[Tensor], targets: &[Tensor]) -> Result<Tensor, Error> {
        let mut sum: Option<Tensor> = None;
        for ((value, target), point) in hidden.iter().zip(targets).zip(&self.points) {
            let squares = value.f_to_kind(Kind::Float)?.f_sub(target)?.f_square()?.f_div(&point.variance)?;
            let mean = squares.f_mean(Kind::Float)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&mean)?,
                None => mean,
            });
        }
        let sum = sum.ok_or_else(|| Error::internal("hints without a point"))?;
        Ok(sum.f_div_scalar(self.points.len() as f64)?)
    }
}

/// The graph of a network's answers that returns these values behind them.
pub(super) fn returning(graph: &Graph, hints: &[Hint]) -> Result<Graph, Error> {
    let answering = before_squashing(graph)?;
    let file = answering.as_ref().unwrap_or(graph).file().clone();
    let values: Vec<ValueId> = file.output.tensors().into_iter().chain(hints.iter().map(|hint| hint.value)).collect();
    let output = Output::Tuple(values.into_iter().map(Output::Tensor).collect());
    Ok(Graph::new(secateur_core::graph::GraphFile { output, ..file })?)
}

#[cfg(test)]
mod tests {
    use secateur_core::configuration::Configuration;
    use secateur_core::group::Grouping;
    use secateur_core::surgery::{cut, hints};
    use secateur_core::testing::Net;
    use tch::Device;

    use super::*;
    use crate::network;

    /// What the first layer gives at its channels that are left is what it gave; what the second makes of less is not.
    #[test]
    fn hidden_values_are_those_of_the_original_up_to_the_first_layer_that_lost_inputs() {
        let mut net = Net::new(&[6]);
        net.linear("a", 8).relu().linear("b", 6).relu().linear("c", 4);
        let graph = net.graph();
        tch::manual_seed(0);
        let weight = |parameter: &secateur_core::graph::Parameter| {
            let shape: Vec<i64> = graph.value(parameter.value).shape.iter().map(|size| size.fixed).collect();
            Tensor::randn(shape, (Kind::Float, Device::Cpu))
        };
        let original = Network::new(graph.clone(), graph.parameters().iter().map(weight).collect()).unwrap();
        let grouping = Grouping::of(&graph);
        let keep = grouping.groups().iter().map(|group| (1..group.channels() as u32).step_by(2).collect());
        let cut = cut(&graph, &grouping, &Configuration { keep: keep.collect() }).unwrap();
        let weights = network::cut::apply(&graph, &cut, original.weights()).unwrap();

        let samples = Tensor::randn([64, 6], (Kind::Float, Device::Cpu));
        let split = Split::of_tensors(samples.shallow_clone(), None);
        let points = hints(&graph, &cut);
        assert_eq!(points.len(), 2);
        let program = Program::prepare(&returning(&cut.graph, &points).unwrap()).unwrap();
        let mut answers = program.run(&weights, &[samples.shallow_clone()], Mode::Evaluate).unwrap();
        let hidden = answers.split_off(1);

        let compared = Hints::of(&original, &points, &split).unwrap().unwrap();
        let (own, targets) = compared.of_original(&[samples]).unwrap();
        assert_eq!(own.len(), 1);
        assert!(hidden[0].allclose(&targets[0], 1e-5, 1e-5, false));
        let loss = compared.loss(&hidden, &targets).unwrap().double_value(&[]);
        let variance = targets[1].var_dim(&[0_i64][..], false, true);
        let second = ((&hidden[1] - &targets[1]).square() / variance).mean(Kind::Double).double_value(&[]) / 2.0;
        assert!((loss - second).abs() < 0.02 * second && second > 0.1, "{loss}, by hand {second}");
    }
}
