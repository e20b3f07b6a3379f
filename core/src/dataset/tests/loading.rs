use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use proptest::prelude::*;
use zip::CompressionMethod;

use super::fixture::{ArrayFixture, FileFixture, labels, npz, npz_packed, open, pictures, safetensors};
use crate::dataset::{Column, Dataset, Elements, Layout, Split, SplitData};

fn floats(data: &SplitData) -> &[f32] {
    match &data.inputs[0].elements {
        Elements::F32(values) => values,
        other => panic!("floats were stored, not {other:?}"),
    }
}

fn bytes(data: &SplitData) -> &[u8] {
    match &data.inputs[0].elements {
        Elements::U8(values) => values,
        other => panic!("bytes were stored, not {other:?}"),
    }
}

fn classes(data: SplitData) -> Vec<i64> {
    match data.labels.expect("the data set has labels").elements {
        Elements::I64(values) => values,
        other => panic!("int64 was stored, not {other:?}"),
    }
}

#[test]
fn the_three_splits_of_a_seed_are_disjoint_and_hold_everything() {
    let dataset = open(&npz(&[pictures("x", 100), labels("y", 100)])).unwrap();
    let mut seen = BTreeSet::new();
    for (split, count) in [(Split::Train, 80), (Split::Val, 10), (Split::Test, 10)] {
        let data = dataset.split(split, &[Layout::Nchw], 3).unwrap().read_all().unwrap();
        let labels = classes(data.clone());
        assert_eq!((data.count, labels.len(), bytes(&data).len()), (count, count, count * 6));
        // Samples and labels stay together.
        for (label, picture) in labels.iter().zip(bytes(&data).chunks(6)) {
            assert!(picture.iter().all(|&value| i64::from(value) == *label));
        }
        seen.extend(labels);
    }
    assert_eq!(seen.len(), 100);
}

#[test]
fn the_same_seed_gives_the_same_split_and_another_seed_another() {
    let dataset = open(&npz(&[pictures("x", 100), labels("y", 100)])).unwrap();
    let val = |seed| dataset.split(Split::Val, &[Layout::Nchw], seed).unwrap().read_all().unwrap();
    let val = |seed| classes(val(seed));
    assert_eq!(val(3), val(3));
    assert_ne!(val(3), val(4));
    // A change here changes what every finished job was validated on.
    insta::assert_compact_json_snapshot!(val(0), @"[2, 11, 31, 43, 53, 62, 63, 76, 89, 96]");
}

#[test]
fn a_stored_split_is_loaded_whole_and_a_missing_one_comes_off_x() {
    let arrays = [pictures("x", 40), labels("y", 40), pictures("x_test", 5), labels("y_test", 5)];
    let dataset = open(&npz(&arrays)).unwrap();
    let count = |split| dataset.split(split, &[Layout::Nchw], 0).unwrap().read_all().unwrap().count;
    assert_eq!((count(Split::Train), count(Split::Val), count(Split::Test)), (36, 4, 5));
    assert_eq!(classes(dataset.split(Split::Test, &[Layout::Nchw], 0).unwrap().read_all().unwrap()), [0, 1, 2, 3, 4]);
}

#[test]
fn with_all_splits_stored_x_stays_whole() {
    let arrays = [pictures("x", 4), pictures("x_val", 3), pictures("x_test", 3)];
    let dataset = open(&npz(&arrays)).unwrap();
    assert_eq!(dataset.split(Split::Train, &[Layout::Nchw], 9).unwrap().read_all().unwrap().count, 4);
}

#[test]
fn channels_last_become_channels_first() {
    // Two channels of a 1 × 3 picture, interleaved.
    let picture = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
    let x = ArrayFixture::f32("x", &[40, 1, 3, 2], &picture.repeat(40));
    let data = open(&npz(&[x])).unwrap().split(Split::Val, &[Layout::Nhwc], 0).unwrap().read_all().unwrap();
    assert_eq!(data.inputs[0].shape, [2, 1, 3]);
    assert_eq!(floats(&data)[..6], [1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
}

#[test]
fn a_grey_picture_gets_a_channel_and_a_vector_stays() {
    let x = ArrayFixture::u8("x", &[40, 2, 3], &[0; 240]);
    let dataset = open(&npz(&[x])).unwrap();
    assert_eq!(dataset.split(Split::Val, &[Layout::Nchw], 0).unwrap().read_all().unwrap().inputs[0].shape, [1, 2, 3]);
    assert_eq!(dataset.split(Split::Val, &[Layout::AsIs], 0).unwrap().read_all().unwrap().inputs[0].shape, [2, 3]);
    let vectors = open(&npz(&[ArrayFixture::u8("x", &[40, 6], &[0; 240])])).unwrap();
    assert_eq!(vectors.split(Split::Val, &[Layout::AsIs], 0).unwrap().read_all().unwrap().inputs[0].shape, [6]);
    vectors.split(Split::Val, &[Layout::Nhwc], 0).expect_err("a vector has no channels-last layout");
}

#[test]
fn every_float_type_becomes_float32() {
    let values: Vec<f32> = (0..40).map(|value| value as f32 / 4.0).collect();
    let wide: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    for x in [
        ArrayFixture::f16("x", &[40, 1], &values),
        ArrayFixture::f32("x", &[40, 1], &values),
        ArrayFixture::f64("x", &[40, 1], &wide),
    ] {
        let files = [npz(std::slice::from_ref(&x)), safetensors(std::slice::from_ref(&x))];
        for file in files {
            let dataset = open(&file).unwrap();
            let mut loaded: Vec<f32> = [Split::Train, Split::Val, Split::Test]
                .into_iter()
                .flat_map(|split| {
                    floats(&dataset.split(split, &[Layout::AsIs], 0).unwrap().read_all().unwrap()).to_vec()
                })
                .collect();
            loaded.sort_by(f32::total_cmp);
            assert_eq!(loaded, values);
        }
    }
}

#[test]
fn labels_of_every_integer_type_and_whole_floats_are_read() {
    let whole: Vec<f32> = (0..40).map(|value| value as f32).collect();
    for y in [
        labels("y", 40),
        ArrayFixture::i32("y", &[40], &(0..40).collect::<Vec<_>>()),
        ArrayFixture::u8("y", &[40], &(0..40).collect::<Vec<_>>()),
        ArrayFixture::f32("y", &[40], &whole),
        ArrayFixture::f16("y", &[40], &whole),
    ] {
        assert_eq!(open(&npz(&[pictures("x", 40), y])).unwrap().summary().classes, Some(40));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_what_is_loaded(
        shape in prop::collection::vec(1..5usize, 1..4),
        count in 4..40usize,
        deflated in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let elements: usize = shape.iter().product();
        let values: Vec<f32> = (0..count * elements).map(|value| value as f32 - 7.5).collect();
        let whole = [&[count], shape.as_slice()].concat();
        let arrays = ["x", "x_val", "x_test"].map(|name| ArrayFixture::f32(name, &whole, &values));
        let method = if deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        for file in [npz_packed(&arrays, method), safetensors(&arrays)] {
            let data = open(&file).unwrap().split(Split::Train, &[Layout::AsIs], seed).unwrap().read_all().unwrap();
            prop_assert_eq!(&data.inputs[0].shape, &shape);
            prop_assert_eq!(floats(&data), values.as_slice());
        }
    }

    #[test]
    fn moving_channels_to_the_front_and_back_changes_nothing(channels in 1..4usize, height in 1..4usize, width in 1..4usize) {
        let picture: Vec<u8> = (0..channels * height * width).map(|value| value as u8).collect();
        let arrays = ["x", "x_val", "x_test"]
            .map(|name| ArrayFixture::u8(name, &[3, height, width, channels], &picture.repeat(3)));
        let data = open(&npz(&arrays)).unwrap().split(Split::Val, &[Layout::Nhwc], 0).unwrap().read_all().unwrap();
        prop_assert_eq!(&data.inputs[0].shape, &[channels, height, width]);
        for (position, &value) in bytes(&data)[..picture.len()].iter().enumerate() {
            let (channel, pixel) = (position / (height * width), position % (height * width));
            prop_assert_eq!(value, picture[pixel * channels + channel]);
        }
    }
}

#[test]
fn several_inputs_and_tokens_are_loaded_each_in_its_own_layout() {
    let tokens = ArrayFixture::i32("x0", &[40, 2], &(0..80).collect::<Vec<_>>());
    let picture = [1, 10, 2, 20, 3, 30];
    let pictures = ArrayFixture::u8("x1", &[40, 1, 3, 2], &picture.repeat(40));
    for file in [npz(&[pictures.clone(), tokens.clone()]), safetensors(&[tokens, pictures])] {
        let dataset = open(&file).unwrap();
        let names: Vec<&str> = dataset.summary().inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["x0", "x1"]);
        let layouts = dataset.layouts_for(&[vec![2], vec![2, 1, 3]]).unwrap();
        assert_eq!(layouts, [Layout::AsIs, Layout::Nhwc]);
        let data = dataset.split(Split::Val, &layouts, 0).unwrap().read_all().unwrap();
        let Elements::I64(tokens) = &data.inputs[0].elements else { panic!("{:?}", data.inputs[0]) };
        // Both numbers of a sample stay together.
        assert!(tokens.chunks(2).all(|pair| pair[1] == pair[0] + 1 && pair[0] % 2 == 0), "{tokens:?}");
        let Elements::U8(moved) = &data.inputs[1].elements else { panic!("{:?}", data.inputs[1]) };
        assert_eq!(moved[..6], [1, 2, 3, 10, 20, 30]);
    }
}

#[test]
fn labels_of_any_shape_and_type_are_loaded() {
    let load = |y: ArrayFixture| {
        let dataset = open(&npz(&[pictures("x", 40), y])).unwrap();
        let summary = dataset.summary().labels.clone().unwrap();
        (summary, dataset.split(Split::Val, &[Layout::Nchw], 0).unwrap().read_all().unwrap().labels.unwrap())
    };
    let (summary, masks) = load(ArrayFixture::u8("y", &[40, 2, 3], &[3; 240]));
    assert_eq!(masks, Column { elements: Elements::U8(vec![3; 24]), shape: vec![2, 3] });
    assert!(summary.could_be_classes() && !summary.are_distributions);
    let (summary, values) = load(ArrayFixture::f32("y", &[40], &[-0.5; 40]));
    assert_eq!(values, Column { elements: Elements::F32(vec![-0.5; 4]), shape: vec![] });
    assert!(!summary.are_whole && summary.range.least == -0.5 && summary.range.largest == -0.5);
    let (summary, _) = load(ArrayFixture::f32("y", &[40], &[1e30; 40]));
    assert!(summary.could_be_classes(), "a float of this size is a whole number");
    let (summary, _) = load(ArrayFixture::f32("y", &[40, 4], &[0.1, 0.2, 0.3, 0.4].repeat(40)));
    assert!(summary.are_distributions && !summary.could_be_classes());
    let (summary, _) = load(ArrayFixture::i64("y", &[40, 2], &[1, -100].repeat(40)));
    assert!(summary.could_be_classes(), "PyTorch's losses leave -100 out: {summary:?}");
}

#[test]
fn inputs_that_are_named_after_arguments_come_in_the_models_order() {
    let number = |name: &str, count, value: u8| ArrayFixture::u8(name, &[count, 1], &vec![value; count]);
    let arrays =
        [number("x.left", 40, 1), number("x.right", 40, 2), number("x.right_val", 3, 4), number("x.left_val", 3, 3)];
    let order = |arguments: [&str; 2]| open(&npz(&arrays)).unwrap().in_order_of(&arguments.map(str::to_owned));
    let dataset = order(["right", "left"]).unwrap();
    assert_eq!(
        dataset.summary().inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(),
        ["x.right", "x.left"]
    );
    assert_eq!(dataset.summary().inputs[0].range.largest, 4.0);
    let data = dataset.split(Split::Val, &[Layout::AsIs; 2], 0).unwrap().read_all().unwrap();
    assert_eq!(
        data.inputs.iter().map(|input| &input.elements).collect::<Vec<_>>(),
        [&Elements::U8(vec![4; 3]), &Elements::U8(vec![3; 3])]
    );

    let refused = order(["right", "middle"]).unwrap_err();
    assert_eq!(
        refused.detail,
        "The inputs of the model are `right`, `middle`, and the data set has `x.left`, `x.right`."
    );
}

/// The summary of an opened data set stands for reading it, and only for the file that it is of.
#[test]
fn a_data_set_that_was_checked_is_opened_by_its_summary() {
    let arrays = [pictures("x", 40), labels("y", 40)];
    let file = FileFixture::new(&npz(&arrays));
    let checked = Dataset::open(&file.path()).unwrap();
    let reopened =
        Dataset::of_checked_file(Arc::new(File::open(file.path()).unwrap()), checked.summary().clone()).unwrap();
    let train = |dataset: &Dataset| dataset.split(Split::Train, &[Layout::Nchw], 1).unwrap().read_all().unwrap();
    assert_eq!(train(&reopened), train(&checked));
    reopened.check_classes(1, None).expect("somebody has held it against the model");
    checked.check_classes(1, None).expect_err("labels go beyond class 0");

    let other = FileFixture::new(&npz(&[pictures("x", 41), labels("y", 41)]));
    let other = File::open(other.path()).unwrap();
    assert!(Dataset::of_checked_file(Arc::new(other), checked.summary().clone()).is_err());
}

#[test]
fn single_samples_are_those_of_the_whole_split() {
    let arrays = [pictures("x", 40), labels("y", 40)];
    for file in [npz(&arrays), safetensors(&arrays)] {
        let split = open(&file).unwrap().split(Split::Train, &[Layout::Nchw], 1).unwrap();
        let (input, whole) = (&split.inputs[0], split.inputs[0].read_all().unwrap());
        let (Elements::U8(some), Elements::U8(whole)) = (input.read([3, 0, 3].into_iter()).unwrap(), whole) else {
            panic!("pictures are bytes")
        };
        let sample = input.shape().iter().product();
        assert_eq!(some, [3, 0, 3].map(|index| &whole[index * sample..][..sample]).concat());
        assert!(input.has_random_access() && input.place(0).is_some());
        assert_eq!(input.bytes(), whole.len() as u64);
    }
    let packed = npz_packed(&arrays, CompressionMethod::Deflated);
    let packed = open(&packed).unwrap().split(Split::Train, &[Layout::Nchw], 1).unwrap();
    assert!(packed.inputs[0].read([0].into_iter()).unwrap_err().detail.contains("`x` is packed"));
}
