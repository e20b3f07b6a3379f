//! Seconds for an epoch of fine-tuning with labels, as a job trains and validates: `cargo bench -p secateur-engine --bench step -- MODEL.pt
//! DATA BATCH EPOCHS PRECISION THREADS DEVICE`, the device `cpu` or `cuda`. The network is trained as it is, uncut. `benches/step/compare.py` runs it beside PyTorch.
//!
//! Printed is one line of JSON: the seconds of each epoch.

use std::cell::OnceCell;
use std::path::Path;

use secateur_core::dataset::Dataset;
use secateur_core::spec::JobSpec;
use secateur_core::wire;
use secateur_engine::data::{Data, SplitName};
use secateur_engine::error::Error;
use secateur_engine::measure::evaluate::Validator;
use secateur_engine::network::Network;
use secateur_engine::output::Outputs;
use secateur_engine::process::messages::Messages;
use secateur_engine::torch::{self, runtime};
use secateur_engine::training::{Session, Start, fine_tune};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [model, data, batch, epochs, precision, threads, device] = &arguments[..] else {
        eprintln!("usage: step MODEL.pt DATA BATCH EPOCHS PRECISION THREADS DEVICE");
        return;
    };
    let settings = format!(
        r#"{{"epochs": {epochs}, "batch_size": {batch}, "precision": "{precision}", "distill": 0.0, "lr": 1e-4, "optimizer": "sgd"}}"#
    );
    let threads = threads.parse().expect("a number of threads");
    let device = match device.as_str() {
        "cpu" => wire::Device::Cpu,
        "cuda" => wire::Device::Cuda,
        other => panic!("unknown device {other}: cpu or cuda"),
    };
    let seconds = run(model.as_ref(), data.as_ref(), &settings, (threads, device)).expect("the benchmark runs");
    println!("{}", serde_json::to_string(&seconds).expect("numbers are JSON"));
}

fn run(model: &Path, data: &Path, settings: &str, (threads, device): (usize, wire::Device)) -> Result<Vec<f64>, Error> {
    torch::memory::keep_pages();
    let device = runtime::initialise(threads, device)?;
    let spec = format!(r#"{{"target": {{"flops_reduction": 0.5}}, "fine_tune": {settings}}}"#);
    let spec = JobSpec::from_json(&spec)?;
    let dataset = Dataset::open(data)?;
    let shape = dataset.summary().sample_shape.iter().map(|&size| size as i64).collect();
    let imported = torch::import(model, Some(&[shape]))?;
    let weights = imported.weights.iter().map(|tensor| tensor.to_device(device)).collect();
    let original = Network::new(imported.graph, weights)?;
    let data = Data::of(dataset, original.graph(), &spec, device)?;
    let (train, val) = (data.split(SplitName::Train)?, data.split(SplitName::Val)?);
    let outputs = Outputs::of(&original, &train, &[])?;
    let session = Session {
        original: &original,
        outputs: &outputs,
        train: &train,
        validator: &Validator::new(&original, &outputs, &val)?,
        settings: spec.fine_tune.as_ref().expect("the spec has it"),
        seed: 0,
        messages: &Messages::to(std::io::sink()),
        answers: OnceCell::new(),
        checkpoints: None,
    };
    let tuned =
        fine_tune(&session, Start { graph: original.graph(), weights: original.weights(), hints: &[], candidate: 0 })?;
    Ok(tuned.epochs.iter().map(|epoch| epoch.seconds).collect())
}
