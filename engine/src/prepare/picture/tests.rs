//! What the fixtures do not hold: sizes by rule, and bytes of nobody.

use secateur_core::dataset::source::{Resize, ResizePolicy};

use super::geometry::Placed;
use super::{Frame, Geometry};

fn crop(size: Option<usize>) -> Option<Resize> {
    Some(Resize { policy: ResizePolicy::Crop, size })
}

#[test]
fn the_shorter_side_is_exact_and_the_longer_one_is_rounded_down() {
    // torchvision: Resize(256) makes 341 x 256 of 500 x 375, CenterCrop(224) begins at round(58.5) = 58 and 16.
    let placed = Geometry::new(224, 224, None).unwrap().place(500, 375).unwrap();
    assert_eq!(placed, Placed { size: (341, 256), columns: 58..282, rows: 16..240 });
    // Resize(257) makes 257 x 342 of 375 x 500; 16.5 is rounded to 16, and 59 is 59.
    let placed = Geometry::new(224, 224, crop(Some(257))).unwrap().place(375, 500).unwrap();
    assert_eq!(placed, Placed { size: (257, 342), columns: 16..240, rows: 59..283 });
    // 31.5 / 2 is 15.75; 35 / 2 is 17.5, of which the even neighbour is 18.
    let placed = Geometry::new(224, 224, crop(Some(259))).unwrap().place(259, 259).unwrap();
    assert_eq!((placed.columns.start, placed.rows.start), (18, 18));
}

#[test]
fn a_picture_covers_a_frame_that_is_no_square() {
    let geometry = Geometry::new(112, 224, None).unwrap();
    assert_eq!(geometry.place(500, 500).unwrap().size, (256, 256));
    assert_eq!(geometry.place(1000, 200).unwrap().size, (640, 128));
}

#[test]
fn a_picture_of_the_right_size_stays_without_a_rule() {
    let geometry = |resize| Geometry::new(224, 224, resize).unwrap().place(224, 224).unwrap();
    assert_eq!(geometry(None), Placed { size: (224, 224), columns: 0..224, rows: 0..224 });
    assert_eq!(geometry(crop(None)), Placed { size: (256, 256), columns: 16..240, rows: 16..240 });
}

#[test]
fn a_line_is_no_picture() {
    let error = Geometry::new(64, 64, None).unwrap().place(89_478_485, 1).unwrap_err();
    assert!(error.contains("too long and narrow"), "{error}");
}

#[test]
fn changed_bytes_of_pictures_never_panic() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats/folders.zip");
    let file = std::sync::Arc::new(std::fs::File::open(folder).unwrap());
    let source = secateur_core::dataset::source::Source::recognise(&file).unwrap().unwrap();
    let secateur_core::dataset::source::Content::Pictures(archive, samples) = source.content() else { panic!() };
    let frame = Frame::new(3, 16, 16, None).unwrap();
    let mut read = 0;
    for sample in &samples[1] {
        let whole = archive.read(sample.member, 1 << 20).unwrap();
        assert!(frame.sample(&whole).is_ok(), "{}", archive.name(sample.member));
        for at in (0..whole.len()).step_by(1 + whole.len() / 150) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            read += usize::from(frame.sample(&bytes).is_ok());
            let _ = frame.sample(&whole[..at]);
            let _ = frame.sample_with_mask(&whole, &bytes);
        }
    }
    assert!(read > 0);
}
