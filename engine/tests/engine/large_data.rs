//! A whole job on a data set that does not fit into the memory that its engines may have.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use secateur_core::dataset::Dataset;
use secateur_core::sandbox::{Ceilings, Settings};
use secateur_core::stage::Stage;
use secateur_engine::network::weights::save_named;
use tch::{Device, Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::job::{Job, fixture};
use crate::pipeline::check_consistency;

const MEMORY: u64 = 1 << 30;
const SAMPLE: u64 = 3 * 512 * 512;
/// Four times the memory.
const SAMPLES: u64 = 4 * MEMORY / SAMPLE + 1;

/// The file is a sparse one: dark pictures of class 0, and each second one with bright rows, of class 1.
#[test]
fn a_set_of_four_times_the_memory_is_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures.safetensors");
    let mut file = File::create(&path).unwrap();
    let (x, end) = (SAMPLES * 8, SAMPLES * 8 + SAMPLES * SAMPLE);
    let header = format!(
        r#"{{"y":{{"dtype":"I64","shape":[{SAMPLES}],"data_offsets":[0,{x}]}},"x":{{"dtype":"U8","shape":[{SAMPLES},3,512,512],"data_offsets":[{x},{end}]}}}}"#
    );
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for sample in 0..SAMPLES {
        file.write_all(&(sample % 2).to_le_bytes()).unwrap();
    }
    let front = 8 + header.len() as u64 + x;
    file.set_len(front + SAMPLES * SAMPLE).unwrap();
    for sample in (1..SAMPLES).step_by(2) {
        file.write_all_at(&[200; 64 * 512], front + sample * SAMPLE).unwrap();
    }

    let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": 0.0, "std": 255.0},
        "fine_tune": {"epochs": 1, "batch_size": 8}}"#;
    let mut job = Job::new(spec, &fixture("large-pictures.pt"), Some(&path));
    job.sandbox =
        Settings { ceilings: Ceilings { memory_bytes: Some(MEMORY), ..Ceilings::default() }, ..Settings::default() };
    let report = job.report();
    check_consistency(&report);
    let samples = report.data.as_ref().unwrap().samples;
    assert_eq!((samples.train + samples.val + samples.test) as u64, SAMPLES);
    assert!(report.epochs[0].train_loss < 0.6, "{:?}", report.epochs);
    assert!(report.pruned.accuracy.unwrap().val > 0.9, "{:?}", report.pruned.accuracy);
}

/// Noise in a few rows of each picture, so that the file is smaller than the share of the memory and its arrays are larger.
#[test]
fn packed_arrays_that_do_not_fit_are_unpacked_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let (stored, packed, plain) = (path("stored.npz"), path("packed.npz"), path("plain.safetensors"));
    tch::manual_seed(1);
    let pictures = Tensor::zeros([100, 3, 512, 512], (Kind::Uint8, Device::Cpu));
    let _ = pictures.narrow(2, 0, 64).random_from_(0, Some(256));
    let classes = Tensor::arange(100, (Kind::Int64, Device::Cpu)).remainder(2);
    let arrays = [("x", &pictures), ("y", &classes)];
    Tensor::write_npz(&arrays, &stored).unwrap();
    let mut archive = ZipArchive::new(File::open(stored).unwrap()).unwrap();
    let mut deflated = ZipWriter::new(File::create(&packed).unwrap());
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        deflated.start_file(member.name(), SimpleFileOptions::default()).unwrap();
        std::io::copy(&mut member, &mut deflated).unwrap();
    }
    deflated.finish().unwrap();
    save_named(&plain, arrays).unwrap();
    assert!(Dataset::open(&packed).unwrap().arrays().all(|array| array.is_packed()));

    let spec = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": 0.0, "std": 255.0},
        "fine_tune": null}"#;
    let run = |data: &Path| {
        let mut job = Job::new(spec, &fixture("large-pictures.pt"), Some(data));
        job.sandbox = Settings {
            ceilings: Ceilings { memory_bytes: Some(MEMORY), ..Ceilings::default() },
            ..Settings::default()
        };
        let report = job.report();
        (job.finished.iter().any(|task| task.stage == Stage::Prepare), report.base.accuracy, report.pruned.accuracy)
    };
    let (packed, plain) = (run(&packed), run(&plain));
    assert_eq!((packed.0, plain.0), (true, false));
    assert_eq!((packed.1, packed.2), (plain.1, plain.2));
}
