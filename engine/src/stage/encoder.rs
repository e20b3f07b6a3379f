//! Training of the graph encoder: by contrast, which needs the graph alone, or to fit the calibration sample.

use secateur_core::configuration::Limits;
use secateur_core::cost::CostModel;
use secateur_core::group::Grouping;
use secateur_core::search::encoder::{Encoder, EncoderResult, Head};
use secateur_core::search::layer::LayerGraph;
use secateur_core::search::ranking::regression::Sampled;
use secateur_core::search::space::Space;
use secateur_core::spec::EncoderObjective;
use secateur_core::stage::encoder::{ENCODER, EncoderWork};
use secateur_core::wire::Reading;
use tch::{Device, Tensor};

use super::task::Task;
use crate::encoder::regression::{self, Example, Fitted};
use crate::encoder::{self, Settings, Trained};
use crate::error::Error;
use crate::network::weights;

/// Trains the graph encoder.
///
/// # Errors
/// libtorch's.
pub(super) fn run(task: &Task, work: &EncoderWork) -> Result<EncoderResult, Error> {
    let calibration = &work.calibration;
    let graph = task.graph()?;
    let grouping = Grouping::of(&graph);
    let costs = CostModel::of(&graph, &grouping);
    let limits = Limits::new(&graph, &grouping, &task.spec.constraints)?;
    let space = Space::new(&costs, &limits, task.spec.target.metric, task.spec.search.rate_step);
    let layers = LayerGraph::of(&graph, &grouping);

    let spec = &task.spec.encoder;
    let settings = Settings {
        configs: spec.configs.get(),
        hidden: spec.hidden.get(),
        epochs: spec.epochs,
        temperature: spec.temperature,
        negatives: spec.negatives.get(),
        seed: task.spec.seed,
    };
    let (encoder, result) = if calibration.is_empty() {
        by_contrast(task, &layers, &space, &settings)?
    } else {
        by_regression(task, &layers, &space, &settings, calibration)?
    };
    save(task, &encoder)?;
    Ok(result)
}

fn by_contrast(
    task: &Task,
    layers: &LayerGraph,
    space: &Space<'_>,
    settings: &Settings,
) -> Result<(Encoder, EncoderResult), Error> {
    let epochs = settings.epochs;
    let mut progress = task.messages.count(u64::from(epochs), "epochs");
    let trained = encoder::train(layers, space, settings, task.device, Some(&task.checkpoints), |end| {
        let figures = [("training_loss", end.loss), ("held_out_contrastive_accuracy", end.contrastive_accuracy)];
        let figures = figures.map(|(name, figure)| (name.to_owned(), figure)).into();
        progress.tell(Reading { unit: "epoch".to_owned(), step: u64::from(end.epoch), candidate: None, figures });
        progress.reach(u64::from(end.epoch));
    })?;
    let contrastive_accuracy = trained.contrastive_accuracy();
    let Trained { encoder, losses, contrastive_accuracies, seconds } = trained;
    task.messages.log(format!("encoder: {seconds:.1} s, held-out contrastive accuracy {contrastive_accuracy:.3}"));
    let result = EncoderResult {
        objective: EncoderObjective::Contrastive,
        losses,
        contrastive_accuracy: Some(contrastive_accuracy),
        contrastive_accuracies,
        samples: 0,
        held_out: None,
    };
    Ok((encoder, result))
}

fn by_regression(
    task: &Task,
    layers: &LayerGraph,
    space: &Space<'_>,
    settings: &Settings,
    calibration: &[Sampled],
) -> Result<(Encoder, EncoderResult), Error> {
    let examples: Vec<Example> =
        calibration.iter().map(|sampled| Example { widths: sampled.widths.clone(), value: sampled.value() }).collect();
    let mut progress = task.messages.count(u64::from(regression::PASSES), "passes");
    let fitted = regression::fit(layers, space, &examples, settings, task.device, |_, _| progress.advance())?;
    let Fitted { encoder, losses, held_out, seconds } = fitted;
    let rho = held_out.map_or("none".to_owned(), |held_out| format!("{:.2}", held_out.rho));
    task.messages
        .log(format!("encoder: fitted to {} configurations in {seconds:.1} s, held-out rho {rho}", examples.len()));
    let result = EncoderResult {
        objective: EncoderObjective::Regression,
        losses,
        contrastive_accuracy: None,
        contrastive_accuracies: Vec::new(),
        samples: examples.len(),
        held_out,
    };
    Ok((encoder, result))
}

fn save(task: &Task, encoder: &Encoder) -> Result<(), Error> {
    let matrix = |values: &[f32]| Ok::<_, Error>(Tensor::f_from_slice(values)?.f_view([-1, encoder.hidden as i64])?);
    let mut tensors = vec![("w1", matrix(&encoder.w1)?), ("w2", matrix(&encoder.w2)?)];
    if let Some(head) = &encoder.head {
        tensors.push(("head", matrix(&head.weights)?));
        tensors.push(("bias", Tensor::f_from_slice(&[head.bias])?));
    }
    weights::save_named(&task.path(ENCODER), tensors.iter().map(|(name, tensor)| (*name, tensor)))
}

/// The trained encoder of an earlier task.
pub(super) fn load(task: &Task) -> Result<Encoder, Error> {
    let path = task.path(ENCODER);
    let tensors = weights::load_named(&path, Device::Cpu)?;
    let find = |name: &str| -> Result<Option<Vec<f32>>, Error> {
        let found = tensors.iter().find(|(found, _)| found == name);
        found.map(|(_, tensor)| Ok(Vec::try_from(&tensor.f_view(-1)?)?)).transpose()
    };
    let weights = |name: &str| find(name)?.ok_or_else(|| Error::internal(format!("{} holds no `{name}`", ENCODER)));
    let (w1, w2) = (weights("w1")?, weights("w2")?);
    let head = match find("head")? {
        Some(head) => Some(Head { weights: head, bias: weights("bias")?[0] }),
        None => None,
    };
    Ok(Encoder { hidden: w2.len().isqrt(), w1, w2, head })
}
