//! A conversion holds a few samples for each thread, however many there are and whatever their headers claim: the peak of the heap.
//!
//! One test in a binary of its own, since the allocator counts for the whole process. What it counts is pessimistic: a block that
//! grows is held twice for a moment.

#[path = "../../core/tests/memory/mod.rs"]
mod memory;
mod tar;

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use image::{ImageFormat, Rgb, RgbImage};
use secateur_core::dataset::source::Source;
use secateur_core::graph::DType;
use secateur_engine::prepare::{Wanted, convert};

const PICTURES: usize = 150;
const SIDE: u32 = 1000;
const THREADS: usize = 2;
/// Decoded, the pictures are 450 MB. Two threads hold a few copies of one each, and the channel some encoded ones.
const MOST: usize = 32_000_000;

fn write_pictures(path: &Path) {
    let mut jpeg = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, (x + y) as u8]));
    picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    // A PBM has no checksum that its header would have to fit.
    let claims = b"P6 100000 100000 255\n".to_vec();
    let mut archive = BufWriter::new(File::create(path).unwrap());
    for number in 0..PICTURES {
        archive.write_all(&tar::member(&format!("{}/{number}.jpg", number % 2), jpeg.get_ref())).unwrap();
    }
    archive.write_all(&tar::member("0/claims.ppm", &claims)).unwrap();
    archive.flush().unwrap();
}

#[test]
fn a_conversion_holds_a_few_samples_for_each_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (tar, out) = (folder.path().join("set.tar"), folder.path().join("store.safetensors"));
    write_pictures(&tar);
    let wanted = Wanted { shape: vec![3, 224, 224], dtype: DType::Float32, resize: None, seed: 0, threads: THREADS };
    let (converted, peak) = memory::peak_of(|| {
        let source = Source::recognise(&Arc::new(File::open(&tar).unwrap())).unwrap().unwrap();
        convert(&source, &wanted, &out, &mut |_, _| {}).unwrap()
    });
    println!("{PICTURES} pictures of {SIDE} x {SIDE} on {THREADS} threads: {peak} bytes at most");
    assert_eq!((converted.samples.train, converted.bad.count), (PICTURES, 1));
    assert!(converted.bad.first[0].reason.contains("100000 x 100000"), "{:?}", converted.bad);
    assert!(peak < MOST, "{peak} bytes were held; {MOST} are allowed");
}
