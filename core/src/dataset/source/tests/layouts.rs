use super::fixture::{members, recognise, refused, source, summary, zip};
use crate::dataset::SplitCounts;
use crate::dataset::source::{Label, Labels};

#[test]
fn folders_without_splits_are_classes() {
    let summary = summary(&zip(&["set/", "set/b/", "set/b/1.jpg", "set/a/1.PNG", "set/a/deep/2.jpeg"]));
    assert_eq!(summary.classes, ["a", "b"]);
    assert_eq!(summary.samples, SplitCounts { train: 3, val: 0, test: 0 });
}

#[test]
fn wrapping_folders_are_passed_over_and_splits_are_not() {
    for prefix in ["", "set/", "deep/inside/"] {
        let names = ["train/a/1.jpg", "train/b/1.jpg", "validation/a/2.jpg"].map(|name| format!("{prefix}{name}"));
        let summary = summary(&zip(&names.each_ref().map(String::as_str)));
        assert_eq!(summary.samples, SplitCounts { train: 2, val: 1, test: 0 }, "{prefix}");
        assert_eq!(summary.classes, ["a", "b"]);
    }
}

#[test]
fn classes_are_in_the_order_of_python() {
    let summary = summary(&zip(&["b/1.jpg", "B/1.jpg", "ä/1.jpg", "10/1.jpg", "9/1.jpg"]));
    assert_eq!(summary.classes, ["10", "9", "B", "b", "ä"]);
}

#[test]
fn a_folder_named_test_is_a_class_where_there_is_no_train() {
    assert_eq!(summary(&zip(&["test/1.jpg", "other/1.jpg"])).classes, ["other", "test"]);
}

#[test]
fn loose_pictures_are_unlabelled() {
    for names in [&["1.jpg", "2.jpg"][..], &["train/1.jpg", "val/2.jpg"], &["photos/1.jpg"]] {
        let source = source(&zip(names));
        assert_eq!(source.summary().labels, Labels::None, "{names:?}");
        assert!(members(&source).iter().flatten().all(|(_, sample)| sample.label == Label::None));
    }
}

#[test]
fn masks_are_found_above_and_below_the_splits() {
    let below = ["images/train/1.jpg", "masks/train/1.png", "images/val/1.jpg", "masks/val/1.png"];
    let above = ["train/images/1.jpg", "train/masks/1.png", "val/images/1.jpg", "val/masks/1.png"];
    let none = ["set/images/1.jpg", "set/masks/1.png"];
    for (names, val) in [(&below[..], 1), (&above, 1), (&none, 0)] {
        let summary = summary(&zip(names));
        assert_eq!(summary.samples, SplitCounts { train: 1, val, test: 0 }, "{names:?}");
        assert_eq!(summary.labels, Labels::Masks);
    }
}

#[test]
fn a_picture_without_its_mask_is_known_as_one() {
    let source = source(&zip(&["images/1.jpg", "images/2.jpg", "masks/1.png"]));
    let [train, ..] = members(&source);
    assert_eq!(train[1].1.label, Label::Missing);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for (names, node, said) in [
        (&["a/1.jpg", "2.jpg"][..], "2.jpg", "lies in no class folder"),
        (&["train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg"], "val/c/1.jpg", "of the class `c`"),
        (&["train/a/1.jpg", "train/b/1.jpg", "extra/a/1.jpg"], "extra/a/1.jpg", "in no split"),
        (&["images/1.jpg", "masks/1.png", "masks/2.png"], "masks/2.png", "belongs to no picture"),
        (&["images/1.jpg", "masks/1.png", "other/2.png"], "other/2.png", "neither in `images` nor in `masks`"),
    ] {
        let rejection = refused(&zip(names));
        assert_eq!(rejection.node.as_deref(), Some(node), "{rejection:?}");
        assert!(rejection.detail.contains(said), "{}", rejection.detail);
    }
}

#[test]
fn arrays_and_models_are_left_to_their_own_readers() {
    assert!(recognise(&zip(&["x.npy", "y.npy"])).unwrap().is_none());
    assert!(recognise(&zip(&["net/data.pkl", "net/version"])).unwrap().is_none());
    assert!(recognise(b"\x08\0\0\0\0\0\0\0{}      ").unwrap().is_none());
    assert!(recognise(b"").unwrap().is_none());
}
