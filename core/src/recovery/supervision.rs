//! What the labels of a data set are to a model: for which of its outputs they stand, and the loss and the metric that fit both.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use super::Measure;
use crate::dataset::LabelSummary;
use crate::graph::{Graph, Size};
use crate::output::{self, ModelOutput, OutputKind, OutputSpec};
use crate::rejection::{Code, Rejection};
use crate::spec::{JobSpec, LabelSettings, Objective};

/// How an output is compared with the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Supervision {
    /// Which of the returned tensors, in reading order, from 0.
    pub output: usize,
    /// What is minimised where the objective is not distillation alone.
    pub loss: SupervisionLoss,
    /// What networks are compared by.
    pub metric: Measure,
    /// The axis that counts the samples, from 0.
    pub batch_axis: usize,
    /// The axis of the classes, or of the channels of values.
    pub axis: Option<usize>,
    /// Classes along the axis.
    pub classes: Option<usize>,
    /// Labels of places that do not count, beside -100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<i64>,
    /// Share of every class label that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f64,
}

/// A loss with labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SupervisionLoss {
    /// Cross-entropy with the number of a class at every place.
    CrossEntropy,
    /// Cross-entropy with a distribution over the classes at every place.
    SoftCrossEntropy,
    /// Binary cross-entropy.
    Bce,
    /// Squared difference over the variance of the labels' channel.
    Mse,
    /// Absolute difference over the standard deviation of the labels' channel.
    L1,
    /// The Huber loss in standard deviations of the labels' channel.
    Huber,
    /// Connectionist temporal classification.
    Ctc {
        /// The class that stands for nothing.
        blank: u32,
    },
}

impl Supervision {
    /// The labels are the numbers of classes, `[N]`, and the first output has their scores, `[N, classes]`.
    pub fn of_classes() -> Self {
        Self {
            output: 0,
            loss: SupervisionLoss::CrossEntropy,
            metric: Measure::Accuracy,
            batch_axis: 0,
            axis: Some(1),
            classes: None,
            ignore_index: None,
            label_smoothing: 0.0,
        }
    }

    /// The class or channel axis of answers whose batch was moved to the front; 1 where there is none.
    pub fn axis_behind_batch(&self) -> usize {
        self.axis.map_or(1, |axis| axis + usize::from(axis < self.batch_axis))
    }

    /// What `labels` are to a model, as the job's objective says, or else as their shape and their values tell.
    ///
    /// # Errors
    /// [`Code::DatasetMismatch`] when they fit no output; [`Code::InvalidSpec`] when they do not fit the objective.
    pub fn of(graph: &Graph, spec: &JobSpec, labels: &LabelSummary) -> Result<Self, Rejection> {
        let objectives = output::objectives(graph, spec.outputs())?;
        let fractional = output::fractional(graph);
        let measured = objectives
            .into_iter()
            .map(|objective| objective.output)
            .find(|output| output.kind != OutputKind::Ignore && fractional.contains(&output.index));
        let Some(output) = measured else {
            return Err(mismatch(
                "The data set has labels, but no output of the model has fractional numbers to compare them with."
                    .to_owned(),
            )
            .hint("Leave `y` out of the data set."));
        };
        Reading::of(graph, &output, labels)?.supervision(spec.label_settings())
    }
}

/// The outputs of a model with the part that each has in a distillation. Where the shape alone speaks for an output's kind and its labels
/// say more, they are believed.
///
/// # Errors
/// As [`output::objectives`].
pub fn objectives(
    graph: &Graph,
    specs: &[OutputSpec],
    supervision: Option<&Supervision>,
) -> Result<Vec<output::Objective>, Rejection> {
    let mut objectives = output::objectives(graph, specs)?;
    let Some(Supervision { output, loss, axis, .. }) = supervision else { return Ok(objectives) };
    let of_output = objectives.iter_mut().map(|objective| &mut objective.output).find(|found| found.index == *output);
    if let Some(found) = of_output.filter(|found| found.presumed) {
        match loss {
            SupervisionLoss::Bce => found.kind = OutputKind::Bernoulli,
            SupervisionLoss::Mse | SupervisionLoss::L1 | SupervisionLoss::Huber => found.kind = OutputKind::Values,
            SupervisionLoss::CrossEntropy | SupervisionLoss::SoftCrossEntropy | SupervisionLoss::Ctc { .. } => {
                found.kind = OutputKind::Categorical;
                found.axis = *axis;
            }
        }
    }
    Ok(objectives)
}

fn mismatch(detail: String) -> Rejection {
    Rejection::new(Code::DatasetMismatch, detail).at("y")
}

/// An output and the labels, side by side.
struct Reading<'a> {
    output: &'a ModelOutput,
    labels: &'a LabelSummary,
    batch_axis: usize,
    /// Sizes of one sample of the output; `None` for one that is no plain number.
    sizes: Vec<Option<i64>>,
    /// The output's class or channel axis among the sizes of one sample.
    axis: Option<usize>,
}

impl<'a> Reading<'a> {
    fn of(graph: &Graph, output: &'a ModelOutput, labels: &'a LabelSummary) -> Result<Self, Rejection> {
        let shape = &graph.value(graph.output().tensors()[output.index]).shape;
        let Some(batch_axis) = shape.iter().position(|&size| size == Size::BATCH) else {
            return Err(mismatch(format!(
                "Output {} of the model has no dimension that counts the samples, so what it says of one cannot be compared with its label.",
                output.index
            ))
            .hint("Leave `y` out of the data set, or wrap the model so that its first output is [batch, ...]."));
        };
        let sizes =
            shape.iter().enumerate().filter(|&(axis, _)| axis != batch_axis).map(|(_, size)| size.as_fixed()).collect();
        let axis = output.axis.filter(|&axis| axis != batch_axis);
        let axis = axis.map(|axis| axis - usize::from(axis > batch_axis));
        let found = Self { output, labels, batch_axis, sizes, axis };
        // Scores of a few classes at every place of a map, to which the model does nothing more, could be anything by their shape.
        let is_open = output.presumed && output.kind == OutputKind::Values;
        let axis = axis.or_else(|| if is_open { found.axis_that_labels_lack() } else { None });
        Ok(Self { axis, ..found })
    }

    /// The first axis of one sample without which it has the labels' sizes.
    fn axis_that_labels_lack(&self) -> Option<usize> {
        (0..self.sizes.len()).find(|&axis| {
            let mut others = self.sizes.clone();
            others[axis] > Some(1) && {
                others.remove(axis);
                self.labels_have(&others)
            }
        })
    }

    /// Sizes of the output of one sample without the class axis.
    fn places(&self) -> Vec<Option<i64>> {
        let places = self.sizes.iter().enumerate().filter(|&(axis, _)| Some(axis) != self.axis);
        places.map(|(_, &size)| size).collect()
    }

    fn classes(&self) -> Option<usize> {
        let size = self.sizes[self.axis?]?;
        usize::try_from(size).ok()
    }

    /// Whether the labels of a sample have these sizes, dimensions of size one aside.
    fn labels_have(&self, sizes: &[Option<i64>]) -> bool {
        let of_labels = self.labels.shape.iter().map(|&size| size as i64).filter(|&size| size != 1);
        sizes.iter().copied().filter(|&size| size != Some(1)).eq(of_labels.map(Some))
    }

    fn are_numbers_of_classes(&self) -> bool {
        self.axis.is_some() && self.labels.could_be_classes() && self.labels_have(&self.places())
    }

    fn are_probabilities(&self) -> bool {
        let range = self.labels.range;
        range.least >= 0.0 && range.largest <= 1.0
    }

    fn supervision(&self, settings: LabelSettings) -> Result<Supervision, Rejection> {
        let loss = match settings.objective {
            Objective::Auto | Objective::Distill => self.fitting()?,
            Objective::CrossEntropy => self.cross_entropy()?,
            Objective::Bce => self.bce()?,
            Objective::Mse => self.of_values("mse", SupervisionLoss::Mse)?,
            Objective::L1 => self.of_values("l1", SupervisionLoss::L1)?,
            Objective::Huber => self.of_values("huber", SupervisionLoss::Huber)?,
            Objective::Ctc => self.ctc(settings.blank)?,
        };
        let has_places = self.places().iter().filter(|&&size| size != Some(1)).count();
        let metric = match loss {
            SupervisionLoss::CrossEntropy if has_places >= 2 => Measure::MeanIou,
            SupervisionLoss::CrossEntropy | SupervisionLoss::SoftCrossEntropy => Measure::Accuracy,
            SupervisionLoss::Bce if self.sizes.iter().all(|&size| size == Some(1)) => Measure::Accuracy,
            SupervisionLoss::Bce => Measure::F1,
            SupervisionLoss::Mse | SupervisionLoss::L1 | SupervisionLoss::Huber => Measure::R2,
            SupervisionLoss::Ctc { .. } => Measure::EditSimilarity,
        };
        Ok(Supervision {
            output: self.output.index,
            loss,
            metric,
            batch_axis: self.batch_axis,
            axis: self.axis.map(|axis| axis + usize::from(axis >= self.batch_axis)),
            classes: self.classes(),
            ignore_index: settings.ignore_index,
            label_smoothing: settings.label_smoothing,
        })
    }

    /// The loss that the output's kind and the labels' shape and values ask for.
    fn fitting(&self) -> Result<SupervisionLoss, Rejection> {
        let same_shape = self.labels_have(&self.sizes);
        let is_open = self.output.presumed;
        match self.output.kind {
            OutputKind::Categorical if self.are_numbers_of_classes() => Ok(SupervisionLoss::CrossEntropy),
            // The scores of a segmentation, to which the model does nothing more.
            OutputKind::Values if is_open && self.classes() > Some(1) && self.are_numbers_of_classes() => {
                Ok(SupervisionLoss::CrossEntropy)
            }
            OutputKind::Categorical if same_shape && self.labels.are_distributions => {
                Ok(SupervisionLoss::SoftCrossEntropy)
            }
            OutputKind::Categorical | OutputKind::Values
                if same_shape && is_open && self.are_probabilities() && self.labels.are_whole =>
            {
                Ok(SupervisionLoss::Bce)
            }
            OutputKind::Bernoulli if same_shape && self.are_probabilities() => Ok(SupervisionLoss::Bce),
            OutputKind::Values | OutputKind::Unit if same_shape => Ok(SupervisionLoss::Mse),
            OutputKind::Categorical if same_shape && is_open => Ok(SupervisionLoss::Mse),
            _ => Err(self.does_not_fit("")),
        }
    }

    fn cross_entropy(&self) -> Result<SupervisionLoss, Rejection> {
        if self.axis.is_none() {
            return Err(Rejection::new(
                Code::InvalidSpec,
                format!(
                    "The objective `cross_entropy` needs a class axis, and output {} of the model has none that the graph tells; its kind is `{}`.",
                    self.output.index,
                    self.output.kind.as_str()
                ),
            )
            .at("fine_tune.outputs")
            .hint(format!(
                "Set `\"outputs\": [{{\"index\": {}, \"kind\": \"categorical\", \"axis\": 1}}]` in `fine_tune`, with the axis of the classes.",
                self.output.index
            )));
        }
        if self.are_numbers_of_classes() {
            return Ok(SupervisionLoss::CrossEntropy);
        }
        if self.labels_have(&self.sizes) && self.labels.are_distributions {
            return Ok(SupervisionLoss::SoftCrossEntropy);
        }
        Err(self.does_not_fit("cross_entropy"))
    }

    fn bce(&self) -> Result<SupervisionLoss, Rejection> {
        if !self.labels_have(&self.sizes) {
            return Err(self.does_not_fit("bce"));
        }
        if !self.are_probabilities() {
            return Err(mismatch(format!(
                "The labels run from {} to {}; the objective `bce` takes probabilities, 0 to 1.",
                self.labels.range.least, self.labels.range.largest
            )));
        }
        Ok(SupervisionLoss::Bce)
    }

    fn of_values(&self, name: &str, loss: SupervisionLoss) -> Result<SupervisionLoss, Rejection> {
        if self.labels_have(&self.sizes) { Ok(loss) } else { Err(self.does_not_fit(name)) }
    }

    fn ctc(&self, blank: u32) -> Result<SupervisionLoss, Rejection> {
        let (places, classes) = (self.places(), self.classes());
        let (&[Some(length)], Some(classes)) = (&places[..], classes) else {
            return Err(mismatch(format!(
                "The objective `ctc` needs the scores of classes along a sequence, and one sample of output {} has shape {}.",
                self.output.index,
                self.shape_text()
            ))
            .at("fine_tune.objective"));
        };
        if blank as usize >= classes {
            return Err(Rejection::new(
                Code::InvalidSpec,
                format!(
                    "`fine_tune.blank` {blank} is out of range: the model has {classes} classes, 0 to {}.",
                    classes - 1
                ),
            )
            .at("fine_tune.blank"));
        }
        match self.labels.shape[..] {
            [longest] if self.labels.are_whole && longest as i64 <= length => Ok(SupervisionLoss::Ctc { blank }),
            _ => Err(self.does_not_fit("ctc")),
        }
    }

    fn shape_text(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().copied().map(size_text).collect();
        format!("[{}]", sizes.join(", "))
    }

    fn does_not_fit(&self, objective: &str) -> Rejection {
        let LabelSummary { dtype, shape, range, .. } = self.labels;
        let objective = if objective.is_empty() { String::new() } else { format!(" by the objective `{objective}`") };
        let rejection = mismatch(format!(
            "The labels do not fit the model{objective}: those of one sample have shape {shape:?} ({dtype}, {} to {}), and output {} of one sample \
             has shape {} and the kind `{}`.",
            range.least,
            range.largest,
            self.output.index,
            self.shape_text(),
            self.output.kind.as_str()
        ));
        rejection.hint(self.advice())
    }

    fn advice(&self) -> String {
        let without = "leave `y` out of the data set";
        let places = self.places();
        match (self.output.kind, self.axis) {
            (OutputKind::Categorical, Some(_)) if places.len() == 1 && self.labels.shape.len() == 1 => format!(
                "Set `\"objective\": \"ctc\"` if the labels are sequences that the model reads, save one label for each place, or {without}."
            ),
            (OutputKind::Categorical, Some(_)) => {
                let sizes: String = places.iter().map(|&size| format!(", {}", size_text(size))).collect();
                format!("Save the number of a class for each place, shape [N{sizes}], or {without}.")
            }
            _ => format!("Save the labels in the shape of the output, or {without}."),
        }
    }
}

fn size_text(size: Option<i64>) -> String {
    size.map_or_else(|| "*".to_owned(), |size| size.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Range;
    use crate::graph::{GraphFile, Literal};
    use crate::testing::{Net, int};

    /// A linear layer of so many outputs, with a sigmoid or a softmax behind it where one is named.
    fn graph(outputs: i64, squashing: Option<&str>) -> Graph {
        let mut net = Net::new(&[6]);
        net.linear("fc", outputs);
        match squashing {
            Some("softmax") => {
                let shape = net.graph().value(net.here()).shape.clone();
                let args = [("self", Literal::Tensor(net.here())), ("dim", int(1)), ("dtype", Literal::None)];
                net.node("", "aten::softmax", &args, shape);
            }
            Some(other) => {
                net.unary(&format!("aten::{other}"));
            }
            None => {}
        }
        let mut file: GraphFile = net.graph().into_file();
        file.nodes
            .iter_mut()
            .filter(|node| node.op == "aten::softmax")
            .for_each(|node| node.overload = "int".to_owned());
        Graph::new(file).unwrap()
    }

    /// A convolution, whose output is a map.
    fn map(channels: i64) -> Graph {
        let mut net = Net::new(&[3, 8, 8]);
        net.conv("conv", channels, 3, 1);
        net.graph()
    }

    fn labels(shape: &[usize], least: f64, largest: f64, are_whole: bool) -> LabelSummary {
        let range = Range { least, largest };
        LabelSummary { dtype: "float32".to_owned(), shape: shape.to_vec(), range, are_whole, are_distributions: false }
    }

    fn found(graph: &Graph, fine_tune: &str, labels: &LabelSummary) -> Result<(SupervisionLoss, Measure), Rejection> {
        let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "fine_tune": {fine_tune}}}"#);
        let supervision = Supervision::of(graph, &JobSpec::from_json(&spec).unwrap(), labels)?;
        Ok((supervision.loss, supervision.metric))
    }

    #[test]
    fn labels_and_output_tell_the_loss_and_the_metric() {
        let distributions = LabelSummary { are_distributions: true, ..labels(&[4], 0.0, 1.0, false) };
        let cases = [
            (graph(4, None), labels(&[], 0.0, 3.0, true), SupervisionLoss::CrossEntropy, Measure::Accuracy),
            (graph(4, Some("softmax")), labels(&[1], 0.0, 3.0, true), SupervisionLoss::CrossEntropy, Measure::Accuracy),
            (graph(4, None), distributions.clone(), SupervisionLoss::SoftCrossEntropy, Measure::Accuracy),
            (graph(4, Some("softmax")), distributions, SupervisionLoss::SoftCrossEntropy, Measure::Accuracy),
            (graph(4, None), labels(&[4], 0.0, 1.0, true), SupervisionLoss::Bce, Measure::F1),
            (graph(4, Some("sigmoid")), labels(&[4], 0.0, 1.0, false), SupervisionLoss::Bce, Measure::F1),
            (graph(1, Some("sigmoid")), labels(&[], 0.0, 1.0, true), SupervisionLoss::Bce, Measure::Accuracy),
            (graph(4, None), labels(&[4], -3.5, 7.0, false), SupervisionLoss::Mse, Measure::R2),
            (graph(4, Some("tanh")), labels(&[4], -1.0, 1.0, false), SupervisionLoss::Mse, Measure::R2),
            (graph(1, None), labels(&[], 10.0, 25.5, false), SupervisionLoss::Mse, Measure::R2),
            (map(4), labels(&[8, 8], 0.0, 3.0, true), SupervisionLoss::CrossEntropy, Measure::MeanIou),
        ];
        for (graph, labels, loss, metric) in cases {
            assert_eq!(found(&graph, "{}", &labels), Ok((loss, metric)), "{labels:?}");
        }
    }

    #[test]
    fn an_objective_is_believed() {
        let values = labels(&[4], -3.5, 7.0, false);
        assert_eq!(found(&graph(4, None), r#"{"objective": "huber"}"#, &values).unwrap().0, SupervisionLoss::Huber);
        assert_eq!(found(&graph(4, None), r#"{"objective": "l1"}"#, &values).unwrap().0, SupervisionLoss::L1);
        let rejection = found(&graph(4, None), r#"{"objective": "bce"}"#, &values).unwrap_err();
        assert!(rejection.detail.contains("-3.5") && rejection.detail.contains('7'), "{}", rejection.detail);
        let rejection = found(&graph(4, None), r#"{"objective": "cross_entropy"}"#, &values).unwrap_err();
        assert_eq!(rejection.code, Code::DatasetMismatch);
        assert!(rejection.detail.contains("shape [4]") && rejection.hint.unwrap().contains("shape [N]"));
    }

    #[test]
    fn labels_that_fit_no_output_are_refused_with_both_shapes() {
        for (graph, labels) in [
            (graph(4, None), labels(&[3], 0.0, 5.0, true)),
            (graph(4, Some("softmax")), labels(&[], 0.5, 3.0, false)),
            (map(4), labels(&[4, 4], 0.0, 3.0, true)),
        ] {
            let rejection = found(&graph, "{}", &labels).unwrap_err();
            assert_eq!(rejection.code, Code::DatasetMismatch);
            assert!(rejection.detail.contains(&format!("{:?}", labels.shape)), "{}", rejection.detail);
            rejection.assert_sentences();
        }
    }

    #[test]
    fn labels_say_what_an_output_is_where_only_its_shape_speaks() {
        let kinds = |graph: &Graph, labels: &LabelSummary| {
            let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}}"#).unwrap();
            let supervision = Supervision::of(graph, &spec, labels).unwrap();
            objectives(graph, &[], Some(&supervision)).unwrap()[0].output.kind
        };
        assert_eq!(kinds(&graph(4, None), &labels(&[4], 0.0, 1.0, true)), OutputKind::Bernoulli);
        assert_eq!(kinds(&graph(4, None), &labels(&[4], -3.5, 7.0, false)), OutputKind::Values);
        assert_eq!(kinds(&graph(4, None), &labels(&[], 0.0, 3.0, true)), OutputKind::Categorical);
    }
}
