use std::io::Read;

use super::fixture::{committed, members, source, summary};
use crate::dataset::SplitCounts;
use crate::dataset::source::{Content, Label, Labels, SourceFormat};

fn counts(train: usize, val: usize, test: usize) -> SplitCounts {
    SplitCounts { train, val, test }
}

#[test]
fn a_zip_of_folders_has_splits_classes_and_no_junk() {
    let summary = summary(&committed("folders.zip"));
    assert_eq!(summary.format, SourceFormat::ImageFolder);
    assert_eq!(summary.samples, counts(15, 18, 6));
    assert_eq!(
        (summary.labels, &summary.classes[..]),
        (Labels::Classes, &["cat", "dog", "owl"].map(str::to_owned)[..])
    );
    assert_eq!(summary.ignored, 5);
}

#[test]
fn a_packed_tar_of_folders_gives_its_members_in_order() {
    let source = source(&committed("classes.tar.gz"));
    assert_eq!(source.summary().samples, counts(18, 0, 0));
    let Content::Pictures(archive, samples) = source.content() else { panic!() };
    assert!(archive.name(0).starts_with("cat/a-name-that-does-not-fit"));
    assert_eq!(samples[0][6].label, Label::Class(1));

    let mut stream = archive.stream();
    while let Some(member) = stream.next_member().unwrap() {
        let mut streamed = Vec::new();
        stream.read_to_end(&mut streamed).unwrap();
        assert_eq!(streamed, archive.read(member, 1 << 20).unwrap(), "{}", archive.name(member));
        assert!(streamed.starts_with(&[0xff, 0xd8]));
    }
}

#[test]
fn pictures_in_one_folder_are_unlabelled() {
    let summary = summary(&committed("unlabelled.tar"));
    assert_eq!((summary.labels, summary.samples, summary.classes.len()), (Labels::None, counts(7, 0, 0), 0));
}

#[test]
fn masks_go_with_the_picture_of_their_name() {
    let source = source(&committed("masks.zip"));
    assert_eq!(source.summary().format, SourceFormat::Segmentation);
    assert_eq!((source.summary().labels, source.summary().samples), (Labels::Masks, counts(4, 4, 0)));
    let Content::Pictures(archive, samples) = source.content() else { panic!() };
    for sample in samples.iter().flatten() {
        let Label::Mask(mask) = sample.label else { panic!() };
        assert_eq!(archive.name(mask), archive.name(sample.member).replace("images", "masks"));
    }
}

#[test]
fn members_of_one_key_are_a_sample() {
    let source = source(&committed("webdataset.tar"));
    assert_eq!(source.summary().format, SourceFormat::WebDataset);
    assert_eq!(source.summary().labels, Labels::Classes);
    let [train, ..] = members(&source);
    assert!(matches!(train[0].1.label, Label::Text(_)) && matches!(train[1].1.label, Label::Json(_)));
    assert_eq!(source.summary().ignored, 1, "the caption");
}

#[test]
fn shards_in_an_archive_are_of_the_split_that_they_are_named_after() {
    let source = source(&committed("shards.tar"));
    assert_eq!((source.summary().format, source.summary().samples), (SourceFormat::WebDataset, counts(2, 1, 0)));
    let [train, ..] = members(&source);
    assert_eq!(train[1].0, "train-000001.tar/0000.jpg");
    let Content::Pictures(archive, _) = source.content() else { panic!() };
    assert!(archive.read(train[1].1.member, 1 << 20).unwrap().starts_with(&[0xff, 0xd8]));
}

#[test]
fn tables_have_rows_columns_and_the_names_of_classes() {
    let source = source(&committed("tables.zip"));
    let summary = source.summary();
    assert_eq!((summary.format, summary.samples), (SourceFormat::Parquet, counts(5, 3, 3)));
    assert_eq!(summary.classes, ["cat", "dog", "owl"]);
    let Content::Tables(tables) = source.content() else { panic!() };
    assert_eq!((tables.columns.samples.as_str(), tables.columns.labels.as_deref()), ("image.bytes", Some("label")));
    assert!(!tables.columns.tokens);
}

#[test]
fn a_table_of_tokens_is_a_data_set_by_itself() {
    let source = source(&committed("tokens.parquet"));
    assert_eq!((source.summary().samples, source.summary().labels), (counts(4, 0, 0), Labels::Classes));
    let Content::Tables(tables) = source.content() else { panic!() };
    assert!(tables.columns.tokens && tables.columns.samples.starts_with("input_ids.list."));
}

#[test]
fn cifar_has_its_batches_and_the_names_of_its_classes() {
    let ten = summary(&committed("cifar-10.tar.gz"));
    assert_eq!((ten.format, ten.samples), (SourceFormat::Cifar, counts(20, 0, 2)));
    assert_eq!((ten.classes.len(), ten.classes[9].as_str()), (10, "truck"));
    let hundred = summary(&committed("cifar-100.tar.gz"));
    assert_eq!((hundred.samples, hundred.classes.len()), (counts(6, 0, 3), 100));
    assert_eq!(hundred.classes[99], "fine 99");
}

#[test]
fn idx_files_are_read_packed_or_not() {
    let summary = summary(&committed("mnist.zip"));
    assert_eq!((summary.format, summary.samples), (SourceFormat::Idx, counts(9, 0, 4)));
    assert_eq!(summary.labels, Labels::Classes);
}

#[test]
fn folders_of_recordings_have_classes_too() {
    let summary = summary(&committed("sounds.tar"));
    assert_eq!((summary.format, summary.samples), (SourceFormat::SoundFolder, counts(5, 5, 0)));
    assert_eq!(summary.classes, ["no", "yes"]);
}

#[test]
fn samples_of_one_size_have_a_shape_before_any_model_is_known() {
    let shapes = |name| source(&committed(name)).sample_shapes();
    assert_eq!(shapes("mnist.zip"), [vec![1, 28, 28], vec![28, 28]]);
    assert_eq!(shapes("cifar-10.tar.gz"), [[3, 32, 32]]);
    assert_eq!(shapes("cifar-100.tar.gz"), [[3, 32, 32]]);
    for name in ["folders.zip", "webdataset.tar", "sounds.tar", "tables.zip", "tokens.parquet"] {
        assert_eq!(shapes(name), Vec::<Vec<usize>>::new(), "{name}");
    }
}
