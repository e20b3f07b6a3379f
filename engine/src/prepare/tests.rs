//! Every format from files that the usual tools of Python wrote, against what the usual readers make of them
//! (`engine/tests/fixtures/formats`).

#[path = "../../tests/tar/mod.rs"]
mod tar;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use secateur_core::dataset::SplitCounts;
use secateur_core::dataset::source::{Content, Resize, ResizePolicy, Source};
use secateur_core::graph::DType;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::stage::prepare::VERSION;
use sha2::{Digest, Sha256};

use super::{BadSamples, Converted, Wanted, convert};
use crate::error::Error;

/// An array of a store: its type, its shape and its bytes.
#[derive(Debug, Clone, PartialEq)]
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn sample(&self, index: usize) -> &[u8] {
        let size = self.bytes.len() / self.shape[0];
        &self.bytes[index * size..][..size]
    }

    fn integers(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        self.bytes.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    fn floats(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }
}

type Arrays = BTreeMap<String, Array>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(name)
}

fn arrays(path: &Path) -> Arrays {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView)| {
        assert_eq!(view.data().as_ptr() as usize % view.dtype().bitsize().div_ceil(8), bytes.as_ptr() as usize % 8);
        (name, Array { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() })
    };
    tensors.tensors().into_iter().map(read).collect()
}

fn expected() -> Arrays {
    arrays(&fixture("expected.safetensors"))
}

fn wanted(shape: &[usize]) -> Wanted {
    Wanted { shape: shape.to_vec(), dtype: DType::Float32, resize: None, seed: 0, threads: 3 }
}

fn cropped(shape: &[usize], size: usize) -> Wanted {
    Wanted { resize: Some(Resize { policy: ResizePolicy::Crop, size: Some(size) }), ..wanted(shape) }
}

fn source(path: &Path) -> Source {
    Source::recognise(&Arc::new(File::open(path).unwrap())).unwrap().expect("it is a data set")
}

fn try_convert(path: &Path, wanted: &Wanted) -> Result<(Converted, Arrays), Error> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("store.safetensors");
    let converted = convert(&source(path), wanted, &out, &mut |done, total| assert!(done <= total))?;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the store");
    Ok((converted, arrays(&out)))
}

fn converted(name: &str, wanted: &Wanted) -> (Converted, Arrays) {
    let (converted, arrays) = try_convert(&fixture(name), wanted).unwrap();
    assert_eq!(converted.bad, BadSamples::default());
    (converted, arrays)
}

fn rejected(path: &Path, wanted: &Wanted) -> Rejection {
    match try_convert(path, wanted) {
        Err(Error::Rejected(rejection)) => rejection,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is refused"),
    }
}

/// The largest difference of a byte.
fn difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| a.abs_diff(b)).max().unwrap()
}

/// The names of the pictures of `folders.zip` for validation, in the order of the archive.
fn names_for_validation() -> Vec<String> {
    let source = source(&fixture("folders.zip"));
    let Content::Pictures(archive, samples) = source.content() else { panic!() };
    samples[1].iter().map(|sample| archive.name(sample.member).rsplit('/').next().unwrap().to_owned()).collect()
}

/// The labels of the pictures of `folders.zip` for the test, in the order of the archive.
fn labels_for_test() -> Vec<i64> {
    let source = source(&fixture("folders.zip"));
    let Content::Pictures(archive, samples) = source.content() else { panic!() };
    let label = |name: &str| ["/cat/", "/dog/", "/owl/"].iter().position(|class| name.contains(class)).unwrap() as i64;
    samples[2].iter().map(|sample| label(archive.name(sample.member))).collect()
}

/// Compares the pictures for validation with torchvision's; returns the largest difference among JPEG files.
#[track_caller]
fn compare_with_torchvision(kind: &str, wanted: &Wanted) -> u8 {
    let (_, arrays) = converted("folders.zip", wanted);
    let expected = expected();
    let mut of_jpeg = 0;
    let mut compared = 0;
    for (index, name) in names_for_validation().iter().enumerate() {
        let Some(expected) = expected.get(&format!("{kind}/{name}")) else { continue };
        compared += 1;
        assert_eq!(arrays["x_val"].shape[1..], expected.shape, "{kind}/{name}");
        let difference = difference(arrays["x_val"].sample(index), &expected.bytes);
        if name.starts_with("jpeg") {
            of_jpeg = of_jpeg.max(difference);
            println!("{kind}/{name}: {difference}");
        } else {
            assert_eq!(difference, 0, "{kind}/{name}");
        }
    }
    assert!(compared > 0);
    of_jpeg
}

/// The largest difference of one level of a JPEG that was decoded and resized here and there: its decoders round in other places, and
/// spread the colours that are stored for two or four pixels in another way. What is measured on these pictures, not what is hoped for.
const JPEG: u8 = 3;

#[test]
fn pictures_are_cropped_as_by_torchvision() {
    assert!(compare_with_torchvision("crop", &cropped(&[3, 16, 16], 19)) <= JPEG);
}

#[test]
fn pictures_are_stretched_as_by_torchvision() {
    let stretch = Some(Resize { policy: ResizePolicy::Stretch, size: None });
    assert!(compare_with_torchvision("stretch", &Wanted { resize: stretch, ..wanted(&[3, 16, 16]) }) <= JPEG);
    // That is the rule for models of small pictures.
    assert!(compare_with_torchvision("stretch", &wanted(&[3, 16, 16])) <= JPEG);
}

#[test]
fn colours_become_grey_as_by_pil() {
    assert!(compare_with_torchvision("grey", &cropped(&[1, 16, 16], 19)) <= JPEG);
}

/// 64 · 256 / 224 is 73.
#[test]
fn without_a_rule_an_eighth_is_cut_off() {
    assert_eq!(compare_with_torchvision("usual", &wanted(&[3, 64, 64])), 0);
}

#[test]
fn a_folder_has_its_splits_and_classes() {
    let (converted, arrays) = converted("folders.zip", &wanted(&[3, 16, 16]));
    assert_eq!(converted.samples, SplitCounts { train: 15, val: 18, test: 6 });
    assert_eq!(converted.classes, ["cat", "dog", "owl"]);
    assert_eq!(arrays.keys().collect::<Vec<_>>(), ["x", "x_test", "x_val", "y", "y_test", "y_val"]);
    assert_eq!((arrays["x"].dtype, &arrays["x"].shape[..]), (Dtype::U8, &[15, 3, 16, 16][..]));
    assert_eq!(arrays["y_val"].integers(), [2; 18]);
    assert_eq!(arrays["y_test"].integers(), labels_for_test(), "in the order of the archive");
    let mut labels = arrays["y"].integers();
    assert!(!labels.is_sorted(), "samples to train on are not in the order of their classes: {labels:?}");
    labels.sort_unstable();
    assert_eq!(labels, [[0; 5], [1; 5], [2; 5]].concat());
}

#[test]
fn the_order_comes_from_the_seed_alone() {
    for name in ["folders.zip", "classes.tar.gz", "tables.zip"] {
        let of = |seed, threads| converted(name, &Wanted { seed, threads, ..wanted(&[3, 8, 8]) }).1;
        let first = of(1, 1);
        assert_eq!(first, of(1, 4), "{name}");
        assert_ne!(first["y"], of(2, 1)["y"], "{name}");
        let sorted = |arrays: &Arrays| {
            let mut samples: Vec<_> = (0..arrays["x"].shape[0])
                .map(|index| (arrays["y"].integers()[index], arrays["x"].sample(index).to_vec()))
                .collect();
            samples.sort();
            samples
        };
        assert_eq!(sorted(&first), sorted(&of(2, 1)), "{name}: each sample keeps its label");
    }
}

#[test]
fn unlabelled_pictures_have_no_y() {
    let (converted, arrays) = converted("unlabelled.tar", &wanted(&[3, 8, 8]));
    assert_eq!(arrays.keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!((converted.samples.train, converted.classes.len()), (7, 0));
}

#[test]
fn masks_are_resized_as_their_pictures() {
    let (_, arrays) = converted("masks.zip", &cropped(&[3, 16, 16], 19));
    let expected = expected();
    assert_eq!((arrays["y"].dtype, &arrays["y"].shape[..]), (Dtype::U8, &[4, 16, 16][..]));
    for number in 0..4 {
        assert_eq!(arrays["x_val"].sample(number), expected[&format!("masks/x{number}")].bytes);
        assert_eq!(arrays["y_val"].sample(number), expected[&format!("masks/y{number}")].bytes, "mask {number}");
    }
}

#[test]
fn webdataset_has_the_labels_of_its_keys() {
    for (name, train, val) in [("webdataset.tar", vec![0, 0, 1, 2], None), ("shards.tar", vec![0, 0], Some([0]))] {
        let (_, arrays) = converted(name, &wanted(&[3, 24, 24]));
        let mut labels = arrays["y"].integers();
        labels.sort_unstable();
        assert_eq!(labels, train, "{name}");
        assert_eq!(arrays.get("y_val").map(Array::integers), val.map(Vec::from));
    }
}

#[test]
fn rows_of_tables_are_pictures_and_labels() {
    let (converted, arrays) = converted("tables.zip", &wanted(&[3, 16, 16]));
    assert_eq!(converted.classes, ["cat", "dog", "owl"]);
    assert_eq!(arrays["x_val"].bytes, expected()["tables/x_val"].bytes);
    assert_eq!(arrays["y_val"].integers(), [0, 1, 2]);
    assert_eq!(converted.samples, SplitCounts { train: 5, val: 3, test: 3 });
}

#[test]
fn lists_of_tokens_are_padded_and_cut() {
    let (_, arrays) = converted("tokens.parquet", &Wanted { dtype: DType::Int64, ..wanted(&[4]) });
    let tokens = arrays["x"].integers();
    let mut rows: Vec<(&[i64], i64)> = tokens.chunks_exact(4).zip(arrays["y"].integers()).collect();
    rows.sort_unstable();
    assert_eq!(rows, [(&[1, 2, 3, 4][..], 1), (&[5, 6, 7, 0], 0), (&[8, 8, 0, 0], 0), (&[9, 0, 0, 0], 1)]);
}

#[test]
fn cifar_keeps_its_planes() {
    let (_, arrays) = converted("cifar-10.tar.gz", &wanted(&[3, 32, 32]));
    assert_eq!(arrays["x_test"].bytes, expected()["cifar/x_test"].bytes);
    assert_eq!(arrays["y_test"].integers(), [0, 1]);
    assert_eq!(arrays["x"].shape, [20, 3, 32, 32]);
    let (converted, arrays) = converted("cifar-100.tar.gz", &wanted(&[3, 32, 32]));
    assert_eq!(arrays["y_test"].integers(), [0, 1, 2]);
    assert_eq!(converted.classes[7], "fine 7");
}

#[test]
fn idx_keeps_its_pixels() {
    for shape in [&[1, 28, 28][..], &[28, 28]] {
        let (converted, arrays) = converted("mnist.zip", &wanted(shape));
        assert_eq!(arrays["x_test"].bytes, expected()["idx/x_test"].bytes);
        assert_eq!(arrays["x_test"].shape[1..], *shape);
        assert_eq!(arrays["y_test"].integers(), [0, 1, 2, 3]);
        assert_eq!(converted.samples.train, 9);
    }
}

#[test]
fn recordings_are_scaled_as_by_soundfile() {
    let (_, arrays) = converted("sounds.tar", &wanted(&[1, 200]));
    assert_eq!(arrays["x_val"].shape, [5, 1, 200]);
    let values = arrays["x_val"].floats();
    let expected = expected();
    for (index, name) in ["16", "24", "8", "float", "two"].iter().enumerate() {
        let expected = expected[&format!("sounds/{name}")].floats();
        assert_eq!(values[index * 200..][..200], expected, "{name}");
    }
    assert_eq!(arrays["y_val"].integers(), [1, 0, 1, 0, 1]);
}

#[test]
fn recordings_of_two_rates_are_refused_by_name() {
    let rejection = rejected(&fixture("rates.tar"), &wanted(&[100]));
    assert_eq!(rejection.code, Code::InvalidDataset);
    for part in ["`a/a.wav`", "`b/b.wav`", "8000", "16000"] {
        assert!(rejection.detail.contains(part), "{}", rejection.detail);
    }
}

#[test]
fn a_model_of_another_kind_of_input_is_a_mismatch() {
    let tokens = Wanted { dtype: DType::Int64, ..wanted(&[16]) };
    for (name, wanted) in [
        ("folders.zip", tokens.clone()),
        ("folders.zip", wanted(&[4, 16, 16])),
        ("sounds.tar", wanted(&[3, 16, 16])),
        ("tokens.parquet", wanted(&[16])),
        ("mnist.zip", wanted(&[784])),
        ("sounds.tar", tokens),
    ] {
        let rejection = rejected(&fixture(name), &wanted);
        assert_eq!(rejection.code, Code::DatasetMismatch, "{name}");
        assert!(rejection.detail.contains(&format!("{:?}", wanted.shape)), "{}", rejection.detail);
    }
}

#[test]
fn a_rule_that_does_not_fit_is_refused() {
    let rejection = rejected(&fixture("folders.zip"), &cropped(&[3, 64, 64], 63));
    assert_eq!((rejection.code, rejection.node.as_deref()), (Code::InvalidSpec, Some("data.resize.size")));
}

#[test]
fn pictures_of_another_size_are_bad_without_resizing() {
    let none = Some(Resize { policy: ResizePolicy::None, size: None });
    let rejection = rejected(&fixture("folders.zip"), &Wanted { resize: none, ..wanted(&[3, 16, 16]) });
    assert!(rejection.detail.contains("40 x 30 pixels"), "{}", rejection.detail);
}

/// A grey PNG of the class's colour.
fn png(class: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[class; 64]).unwrap();
    bytes
}

fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    members.iter().flat_map(|(name, bytes)| tar::member(name, bytes)).collect()
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The bytes of a JPEG of the fixtures.
fn jpeg() -> Vec<u8> {
    let source = source(&fixture("unlabelled.tar"));
    let Content::Pictures(archive, _) = source.content() else { panic!() };
    archive.read(0, 1 << 20).unwrap()
}

/// A PNG whose header, with a right checksum, claims this size.
fn png_that_claims(side: u32) -> Vec<u8> {
    let mut bytes = png(0);
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    bytes
}

#[test]
fn bad_samples_are_passed_over_and_named() {
    let mut members: Vec<(String, Vec<u8>)> = (0..10).map(|class| (format!("{class}/0.png"), png(class))).collect();
    let mut cut = jpeg();
    cut.truncate(cut.len() / 2);
    members.push(("0/cut.jpg".to_owned(), cut));
    members.push(("1/text.png".to_owned(), b"no picture at all".to_vec()));
    members.push(("2/large.png".to_owned(), png_that_claims(100_000)));
    let file = written(&tar(&members));
    for seed in 0..5 {
        let (converted, arrays) = try_convert(file.path(), &Wanted { seed, ..wanted(&[1, 8, 8]) }).unwrap();
        assert_eq!((converted.bad.count, converted.samples.train), (3, 10));
        let mut bad: Vec<(&str, &str)> =
            converted.bad.first.iter().map(|bad| (bad.name.as_str(), bad.reason.as_str())).collect();
        bad.sort_unstable();
        assert_eq!(bad[0], ("0/cut.jpg", "the JPEG is truncated: it has no end marker"));
        assert_eq!(bad[1].0, "1/text.png");
        assert!(bad[1].1.contains("it is no picture"), "{}", bad[1].1);
        assert!(bad[2].1.contains("100000 x 100000 pixels"), "{}", bad[2].1);
        for (index, label) in arrays["y"].integers().into_iter().enumerate() {
            assert_eq!(arrays["x"].sample(index), [label as u8; 64], "no gap is left, and each sample keeps its label");
        }
    }
}

#[test]
fn many_bad_samples_refuse_the_set_and_name_the_first() {
    let members: Vec<(String, Vec<u8>)> =
        (0..40).map(|index| (format!("{}/{index}.png", index % 2), if index < 4 { vec![7] } else { png(1) })).collect();
    let rejection = rejected(written(&tar(&members)).path(), &wanted(&[1, 8, 8]));
    assert_eq!(rejection.code, Code::InvalidDataset);
    assert!(rejection.detail.starts_with("More than 3 of 40 samples could not be read"), "{}", rejection.detail);
    assert!(rejection.detail.contains(".png`: it is no picture"), "{}", rejection.detail);
}

#[test]
fn labels_that_are_no_numbers_are_bad_samples() {
    let mut members = Vec::new();
    for number in 0..6 {
        members.push((format!("{number}.png"), png(number)));
        members.push((
            format!("{number}.cls"),
            if number == 4 { b"owl".to_vec() } else { number.to_string().into_bytes() },
        ));
    }
    members.push(("6.png".to_owned(), png(6)));
    let (converted, arrays) = try_convert(written(&tar(&members)).path(), &wanted(&[1, 8, 8])).unwrap();
    assert_eq!(converted.bad.count, 2);
    let mut reasons: Vec<&str> = converted.bad.first.iter().map(|bad| bad.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["it has no label or mask, but others have", "its label is `owl`, which is no whole number"]);
    assert_eq!(arrays["y"].integers().len(), 5);
}

/// Each byte of a table is changed in turn: the reader refuses it, takes it for something else, or does not notice; it never ends the
/// process.
#[test]
fn a_damaged_table_is_refused() {
    let whole = std::fs::read(fixture("tokens.parquet")).unwrap();
    let wanted = Wanted { dtype: DType::Int64, threads: 1, ..wanted(&[4]) };
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("table"), folder.path().join("store"));
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        let Ok(Some(source)) = Source::recognise(&Arc::new(File::open(&path).unwrap())) else { continue };
        refused += usize::from(convert(&source, &wanted, &out, &mut |_, _| {}).is_err());
    }
    assert!(refused > 50, "{refused} of {} changes were refused", whole.len());
}

/// What one version leaves another one takes over, so these digests change with `VERSION` and never without it. Pictures in JPEG are not among
/// them, since another processor may decode them otherwise.
#[test]
fn a_version_always_writes_the_same_bytes() {
    let mut digests = Vec::new();
    let tokens = Wanted { dtype: DType::Int64, ..wanted(&[4]) };
    for (name, wanted) in [
        ("masks.zip", cropped(&[3, 16, 16], 19)),
        ("mnist.zip", wanted(&[1, 16, 16])),
        ("cifar-10.tar.gz", wanted(&[3, 32, 32])),
        ("sounds.tar", wanted(&[1, 200])),
        ("tokens.parquet", tokens),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("store");
        convert(&source(&fixture(name)), &wanted, &out, &mut |_, _| {}).unwrap();
        let digest = Sha256::digest(std::fs::read(&out).unwrap());
        digests.push(digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    assert_eq!((VERSION, digests.join(" ").as_str()), (1, "65ccc79f 88aed6b0 b190bcb1 af9c1fc9 03d78063"));
}
