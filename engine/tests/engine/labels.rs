//! Whole jobs on data of every kind: labels that are no classes, several inputs, formats that become arrays.

use std::collections::HashMap;

use secateur_core::dataset::source::SourceFormat;
use secateur_core::recovery::{Measure, SupervisionLoss};
use secateur_core::rejection::Code;
use secateur_core::stage::{Stage, TaskResult};
use secateur_engine::network::weights::save_named;
use tch::{Device, Kind, Tensor};

use crate::job::{Job, example, fixture};
use crate::pipeline::{check_consistency, digits, spec};
use crate::tar;

/// What labels are to a network is found out from both, and every job of such a kind ends with a metric of its own.
#[test]
fn labels_of_every_kind_are_learnt_from_and_measured_with() {
    type Edit = fn(&Tensor) -> Tensor;
    let several: Edit =
        |y| Tensor::arange(10, (Kind::Int64, Device::Cpu)).le_tensor(&y.unsqueeze(1)).to_kind(Kind::Uint8);
    let values: Edit = |y| y.one_hot(10).to_kind(Kind::Float) * 6.0 - 2.0;
    let soft: Edit = |y| y.one_hot(10).to_kind(Kind::Float) * 0.9 + 0.01;
    for (edit, metric, loss) in [
        (several, Measure::F1, SupervisionLoss::Bce),
        (values, Measure::R2, SupervisionLoss::Mse),
        (soft, Measure::Accuracy, SupervisionLoss::SoftCrossEntropy),
    ] {
        let (_folder, path) = digits(|arrays| {
            for name in ["y", "y_val", "y_test"] {
                let labels = edit(&arrays[name]);
                arrays.insert(name.to_owned(), labels);
            }
        });
        let fine_tune = r#"{"epochs": 3, "optimizer": "adamw", "lr": 0.003, "distill": 0.0, "ema": 0.9, "clip_norm": 5, "micro_batch": 50,
            "mixup": 0.1}"#;
        let report = Job::new(&spec(0.3, fine_tune), &example("vgg-digits.pt"), Some(&path)).report();
        check_consistency(&report);
        let found = report.metric.expect("the job has a data set");
        assert_eq!(found.name, metric);
        assert_eq!(report.data.unwrap().supervision.unwrap().loss, loss);
        assert_eq!(report.pruned.accuracy.is_some(), metric == Measure::Accuracy);
        assert!(found.pruned.val > found.base.val.min(0.9) && found.pruned.val > 0.5, "{found:?}");
        assert!(report.epochs[2].train_loss < report.epochs[0].train_loss, "{:?}", report.epochs);
    }
}

#[test]
fn a_job_that_is_to_train_in_bfloat16_does() {
    let losses = |precision: &str| {
        let fine_tune = format!(r#"{{"epochs": 4, "precision": "{precision}"}}"#);
        let data = example("digits.npz");
        let report = Job::new(&spec(0.5, &fine_tune), &example("resnet20-digits.pt"), Some(&data)).report();
        check_consistency(&report);
        assert!(report.pruned.accuracy.unwrap().val > 0.9, "{precision}: {:?}", report.pruned.accuracy);
        report.epochs.iter().map(|epoch| epoch.train_loss).collect::<Vec<f64>>()
    };
    let (half, full) = (losses("bfloat16"), losses("float32"));
    assert!(half[3] < half[0], "{half:?}");
    // So small a network is trained in float32 unless it is told otherwise.
    assert_eq!(losses("auto"), full);
    assert_ne!(half, full);
}

#[test]
fn training_ends_early_when_no_epoch_is_better() {
    let fine_tune = r#"{"epochs": 40, "lr": 1e-9, "patience": 2}"#;
    let report = Job::new(&spec(0.3, fine_tune), &example("vgg-digits.pt"), Some(&example("digits.npz"))).report();
    let best = report.best_epoch.unwrap() as usize;
    assert_eq!(report.epochs.len(), best + 2, "{:?}", report.epochs);
}

/// Two inputs, one of which is stored as float64, without labels.
#[test]
fn a_model_of_two_inputs_is_trained_on_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.safetensors");
    tch::manual_seed(0);
    let left = Tensor::randn([200, 4], (Kind::Float, Device::Cpu));
    let right = Tensor::randn([200, 5], (Kind::Double, Device::Cpu));
    let spec = r#"{"target": {"params_reduction": 0.322}, "method": "uniform", "fine_tune": {"epochs": 8, "batch_size": 16, "lr": 0.01}}"#;
    let train = |names: [&str; 2]| {
        save_named(&path, [(names[0], &left), (names[1], &right)]).unwrap();
        let report = Job::new(spec, &fixture("two-inputs.pt"), Some(&path)).report();
        let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.train_loss).collect();
        assert!(losses[7] < losses[0], "{losses:?}");
        assert!(report.metric.unwrap().pruned.val > 0.5);
        losses
    };
    // By the order of `forward`'s arguments, and by their names.
    assert_eq!(train(["x0", "x1"]), train(["x.left", "x.right"]));

    save_named(&path, [("x.left", &left), ("x.middle", &right)]).unwrap();
    let refused = Job::new(spec, &fixture("two-inputs.pt"), Some(&path)).rejection();
    assert_eq!(refused.code, Code::InputCount);
    assert!(refused.detail.contains("`middle`, but the arguments of `forward` are `left`, `right`"), "{refused:?}");
}

/// An array of MNIST's format.
fn idx(shape: &[i64], values: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|&size| (size as u32).to_be_bytes()));
    bytes.extend(Vec::<u8>::try_from(values.to_kind(Kind::Uint8).flatten(0, -1)).unwrap());
    bytes
}

#[test]
fn a_data_set_of_another_format_becomes_arrays_once() {
    let arrays: HashMap<String, Tensor> = Tensor::read_npz(example("digits.npz")).unwrap().into_iter().collect();
    let mut bytes = Vec::new();
    for (name, split) in [("train", ""), ("t10k", "_test")] {
        let (x, y) = (&arrays[&format!("x{split}")], &arrays[&format!("y{split}")]);
        let count = x.size()[0];
        bytes.extend(tar::member(&format!("{name}-images-idx3-ubyte"), &idx(&[count, 8, 8], x)));
        bytes.extend(tar::member(&format!("{name}-labels-idx1-ubyte"), &idx(&[count], y)));
    }
    bytes.extend([0; 1024]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.tar");
    std::fs::write(&path, bytes).unwrap();

    let mut arrays_job = Job::new(&spec(0.5, "null"), &example("vgg-digits.pt"), Some(&example("digits.npz")));
    arrays_job.run_through(Stage::Import).unwrap();
    let TaskResult::Import(imported) = &arrays_job.finished[0].result else { panic!("there is an import") };

    let report = Job::new(&spec(0.5, "null"), &example("vgg-digits.pt"), Some(&path)).report();
    check_consistency(&report);
    let data = report.data.unwrap();
    assert_eq!((data.samples.train + data.samples.val, data.samples.test), (1257, 360));
    assert_eq!(data.source.unwrap().format, SourceFormat::Idx);
    assert_eq!(report.base.accuracy.unwrap().test, imported.accuracy.unwrap().test, "the test pictures are the same");
    assert!(report.seconds.contains_key("prepare"), "{:?}", report.seconds);
    assert!(report.pruned.accuracy.unwrap().test > 0.8);
}

/// IDX and CIFAR say in their headers how large a sample is, folders do not.
#[test]
fn samples_of_one_size_are_the_input_of_a_file_that_records_none() {
    let spec = r#"{"target": {"flops_reduction": 0.3}, "method": "uniform", "fine_tune": null}"#;
    let job = |model, data| Job::new(spec, model, Some(&fixture("formats").join(data)));
    let (grey, colour) = (example("vgg-digits.pt"), fixture("families/branches.pt"));
    let recorded = example("resnet20-digits.pt");
    for (model, data, shape) in [
        (&grey, "mnist.zip", [1, 28, 28]),
        (&colour, "cifar-10.tar.gz", [3, 32, 32]),
        // What the file records is preferred, and the pictures are resized.
        (&recorded, "mnist.zip", [1, 8, 8]),
    ] {
        let mut job = job(model, data);
        job.run_through(Stage::Import).unwrap();
        let TaskResult::Import(import) = &job.finished[0].result else { panic!("import comes first") };
        assert_eq!(import.input_shapes, [shape.map(i64::from)], "{data}");
    }
    let rejection = job(&grey, "folders.zip").rejection();
    assert_eq!(rejection.code, Code::InputShape);
    assert!(rejection.detail.contains("is not known"), "{}", rejection.detail);
    let rejection = job(&grey, "cifar-10.tar.gz").rejection();
    assert_eq!(rejection.code, Code::InputShape);
    assert!(rejection.detail.contains("[3, 32, 32]"), "what was tried is said: {}", rejection.detail);
}
