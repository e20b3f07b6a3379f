//! Contrastive training of the graph encoder; needs the graph alone, no data and no weights.

use secateur_core::candidate::Limits;
use secateur_core::cost::CostModel;
use secateur_core::group::Grouping;
use secateur_core::layer::LayerGraph;
use secateur_core::search::encoder::Encoder;
use secateur_core::search::space::Space;
use secateur_core::task::{EncoderResult, TaskResult, file};
use tch::{Device, Tensor};

use super::{Finished, Task};
use crate::encoder::{self, Settings, Trained};
use crate::error::Error;
use crate::weights;

pub fn run(task: &Task) -> Result<Finished, Error> {
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
    let mut progress = task.messages.count(u64::from(spec.epochs), "epochs");
    let trained = encoder::train(&layers, &space, &settings, task.device, Some(&task.checkpoints), |end| {
        progress.note(format!(
            "epoch {} of {}: loss {:.4}, held-out contrastive accuracy {:.3}",
            end.epoch, spec.epochs, end.loss, end.contrastive_accuracy
        ));
        progress.reach(u64::from(end.epoch));
    })?;
    let contrastive_accuracy = trained.contrastive_accuracy();
    let Trained { encoder, losses, contrastive_accuracies, seconds } = trained;
    task.messages.log(format!("encoder: {seconds:.1} s, held-out contrastive accuracy {contrastive_accuracy:.3}"));

    let w1 = Tensor::f_from_slice(&encoder.w1)?.f_view([-1, encoder.hidden as i64])?;
    let w2 = Tensor::f_from_slice(&encoder.w2)?.f_view([-1, encoder.hidden as i64])?;
    weights::save_named(&task.path(file::ENCODER), [("w1", &w1), ("w2", &w2)])?;
    let result = EncoderResult { losses, contrastive_accuracy, contrastive_accuracies };
    Ok(Finished::new(TaskResult::Encoder(result), [file::ENCODER]))
}

/// The trained encoder of an earlier task.
pub fn load(task: &Task) -> Result<Encoder, Error> {
    let path = task.path(file::ENCODER);
    let tensors = weights::load_named(&path, Device::Cpu)?;
    let find = |name: &str| {
        tensors
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| Error::internal(format!("{} holds no `{name}`", file::ENCODER)))
    };
    let values = |tensor: &Tensor| -> Result<Vec<f32>, Error> { Ok(Vec::try_from(&tensor.f_view(-1)?)?) };
    let (w1, w2) = (find("w1")?, find("w2")?);
    Ok(Encoder { hidden: w2.size()[0] as usize, w1: values(w1)?, w2: values(w2)? })
}
