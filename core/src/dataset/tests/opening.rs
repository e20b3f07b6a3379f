use std::path::Path;

use zip::CompressionMethod;

use super::fixture::{ArrayFixture, labels, npy, npz, npz_packed, open, pictures, safetensors};
use crate::dataset::{Dataset, Format, Layout, Split, SplitCounts};
use crate::rejection::Code;

#[test]
fn the_example_data_set_opens_with_its_own_splits() {
    let dataset = Dataset::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits.npz")).unwrap();
    let summary = dataset.summary();
    assert_eq!(summary.samples, SplitCounts { train: 1257, val: 180, test: 360 });
    assert_eq!((summary.sample_dtype.as_str(), summary.sample_shape.as_slice()), ("uint8", &[1, 8, 8][..]));
    assert_eq!((summary.format, summary.classes, summary.layout), (Format::Npz, Some(10), Layout::Nchw));
    dataset.layouts_for(&[vec![1, 8, 8]]).unwrap();
    dataset.check_classes(10, None).unwrap();
    let test = dataset.split(Split::Test, &[Layout::Nchw], 0).unwrap().read_all().unwrap();
    assert_eq!((test.count, test.labels.unwrap().shape.len()), (360, 0));
}

#[test]
fn both_formats_and_compression_give_the_same_summary_and_samples() {
    let arrays = [pictures("x", 40), labels("y", 40)];
    let stored = open(&npz(&arrays)).unwrap();
    let deflated = open(&npz_packed(&arrays, CompressionMethod::Deflated)).unwrap();
    let tensors = open(&safetensors(&arrays)).unwrap();
    assert_eq!(stored.summary(), deflated.summary());
    assert_eq!(tensors.summary().format, Format::Safetensors);
    for split in [Split::Train, Split::Val, Split::Test] {
        let expected = stored.split(split, &[Layout::Nchw], 7).unwrap().read_all().unwrap();
        assert_eq!(deflated.split(split, &[Layout::Nchw], 7).unwrap().read_all().unwrap(), expected);
        assert_eq!(tensors.split(split, &[Layout::Nchw], 7).unwrap().read_all().unwrap(), expected);
    }
}

#[test]
fn a_data_set_without_labels_is_unlabelled() {
    let dataset = open(&npz(&[pictures("x", 40)])).unwrap();
    assert!(!dataset.summary().labelled);
    assert_eq!(dataset.summary().classes, None);
    assert_eq!(dataset.split(Split::Val, &[Layout::AsIs], 0).unwrap().read_all().unwrap().labels, None);
    dataset.check_classes(1, None).unwrap();
}

#[test]
fn the_summary_is_json_with_names_in_snake_case() {
    let dataset = open(&npz(&[pictures("x", 40), labels("y", 40)])).unwrap();
    insta::assert_json_snapshot!(dataset.summary(), @r#"
    {
      "format": "npz",
      "arrays": [
        {
          "name": "x",
          "dtype": "uint8",
          "shape": [
            40,
            1,
            2,
            3
          ]
        },
        {
          "name": "y",
          "dtype": "int64",
          "shape": [
            40
          ]
        }
      ],
      "samples": {
        "train": 32,
        "val": 4,
        "test": 4
      },
      "sample_shape": [
        1,
        2,
        3
      ],
      "sample_dtype": "uint8",
      "layout": "nchw",
      "inputs": [
        {
          "name": "x",
          "dtype": "uint8",
          "shape": [
            1,
            2,
            3
          ],
          "range": {
            "least": 0.0,
            "largest": 39.0
          }
        }
      ],
      "classes": 40,
      "labelled": true,
      "labels": {
        "dtype": "int64",
        "shape": [],
        "range": {
          "least": 0.0,
          "largest": 39.0
        },
        "are_whole": true,
        "are_distributions": false
      }
    }
    "#);
}

#[test]
fn headers_of_all_npy_versions_are_read() {
    let array = pictures("x", 40);
    let version_1 = array.npy();
    for version in [2, 3] {
        let mut header = version_1[10..128].to_vec();
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.append(&mut header);
        bytes.extend(&array.bytes);
        let file = super::fixture::zip(&[("x.npy", &bytes)], CompressionMethod::Stored);
        assert_eq!(open(&file).unwrap().summary().samples.train, 32);
    }
    let python_2 = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (40L, 6L)}", &[0; 240]);
    let file = super::fixture::zip(&[("x.npy", &python_2)], CompressionMethod::Stored);
    assert_eq!(open(&file).unwrap().summary().sample_shape, [6]);
}

#[test]
fn the_layout_follows_from_the_input_of_the_model() {
    let layout = |sample: &[usize], input: &[i64]| {
        let shape = [&[40], sample].concat();
        let bytes = vec![0; shape.iter().product()];
        open(&npz(&[ArrayFixture::u8("x", &shape, &bytes)])).unwrap().layouts_for(&[input.to_vec()])
    };
    assert_eq!(layout(&[3, 5, 6], &[3, 5, 6]), Ok(vec![Layout::Nchw]));
    assert_eq!(layout(&[5, 6, 3], &[3, 5, 6]), Ok(vec![Layout::Nhwc]));
    assert_eq!(layout(&[3, 3, 3], &[3, 3, 3]), Ok(vec![Layout::Nchw]));
    assert_eq!(layout(&[5, 6], &[1, 5, 6]), Ok(vec![Layout::Nchw]));
    assert_eq!(layout(&[5, 6], &[5, 6]), Ok(vec![Layout::AsIs]));
    assert_eq!(layout(&[6, 5], &[5, 6]), Ok(vec![Layout::Nhwc]));
    assert_eq!(layout(&[7], &[7]), Ok(vec![Layout::AsIs]));
    assert_eq!(layout(&[2, 3, 4, 5], &[5, 2, 3, 4]), Ok(vec![Layout::Nhwc]));
    for input in [&[3, 6, 5][..], &[3, 5], &[], &[-1, 5, 6], &[90]] {
        let rejection = layout(&[3, 5, 6], input).unwrap_err();
        assert_eq!(rejection.code, Code::DatasetMismatch);
        assert!(rejection.detail.contains("[3, 5, 6]") && rejection.detail.contains(&format!("{input:?}")));
    }
}

#[test]
fn the_layout_of_the_summary_is_a_guess_from_the_shape() {
    let guess = |shape: &[usize]| {
        let bytes = vec![0; shape.iter().product()];
        open(&npz(&[ArrayFixture::u8("x", shape, &bytes)])).unwrap().summary().layout
    };
    assert_eq!(guess(&[40, 8, 8, 3]), Layout::Nhwc);
    assert_eq!(guess(&[40, 3, 8, 8]), Layout::Nchw);
    assert_eq!(guess(&[40, 8]), Layout::AsIs);
}

#[test]
fn a_label_beyond_the_outputs_of_the_model_is_named_with_its_index() {
    let dataset = open(&npz(&[pictures("x", 40), labels("y", 40)])).unwrap();
    dataset.check_classes(40, None).unwrap();
    let rejection = dataset.check_classes(10, None).unwrap_err();
    assert_eq!(rejection.code, Code::DatasetMismatch);
    assert_eq!(rejection.detail, "`y` has the label 10 at index 10, but the model has 10 outputs.");
    assert_eq!(rejection.hint.unwrap(), "Count the labels from 0 to 9.");
}

#[test]
fn a_mark_of_places_that_do_not_count_is_no_class() {
    let mut mask = vec![1; 240];
    mask[7] = 255;
    let dataset = open(&npz(&[pictures("x", 40), ArrayFixture::u8("y", &[40, 2, 3], &mask)])).unwrap();
    dataset.check_classes(2, Some(255)).unwrap();
    let rejection = dataset.check_classes(2, None).unwrap_err();
    assert_eq!(rejection.detail, "`y` has the label 255 at index [1, 0, 1], but the model has 2 outputs.");
    assert!(rejection.hint.unwrap().contains("fine_tune.ignore_index"));
}

#[test]
fn a_token_beyond_the_table_is_named_with_its_index() {
    let tokens: Vec<i64> = (0..80).collect();
    let dataset = open(&npz(&[ArrayFixture::i64("x", &[40, 2], &tokens)])).unwrap();
    dataset.check_tokens(0, 79).unwrap();
    let rejection = dataset.check_tokens(0, 49).unwrap_err();
    assert_eq!(
        rejection.detail,
        "`x` has the number 50 at index [25, 0], but the model looks it up in a table of 50 rows: 0 to 49 are allowed."
    );
    let negative = open(&npz(&[ArrayFixture::i64("x", &[40, 1], &[-1; 40])])).unwrap();
    assert!(negative.check_tokens(0, 49).unwrap_err().detail.contains("number -1 at index [0, 0]"));
}

#[test]
fn a_model_of_another_number_of_inputs_is_told_the_names() {
    let dataset = open(&npz(&[pictures("x", 40)])).unwrap();
    let rejection = dataset.layouts_for(&[vec![1, 2, 3], vec![4]]).unwrap_err();
    assert_eq!(rejection.code, Code::DatasetMismatch);
    assert!(rejection.detail.ends_with("a data set for this model has `x0`, `x1`."), "{}", rejection.detail);
}
