//! Data sets that have to be prepared, made here.

use reqwest::multipart::Part;

#[path = "../../engine/tests/tar/mod.rs"]
mod tar;

const CLASSES: [&str; 3] = ["cat", "dog", "owl"];
const SPLITS: [(&str, usize); 3] = [("train", 10), ("val", 4), ("test", 4)];
const HEADER: &[u8] = b"P5 12 10 255\n";

/// Grey pictures of 12 x 10 pixels in three classes and three splits, and one that is broken.
fn pictures() -> Vec<u8> {
    let mut archive = Vec::new();
    for (split, count) in SPLITS {
        for (class, name) in CLASSES.iter().enumerate() {
            for number in 0..count {
                let pixels = (0..120).map(|place| (80 * class + 5 * number + place / 4) as u8);
                let picture: Vec<u8> = HEADER.iter().copied().chain(pixels).collect();
                archive.extend(tar::member(&format!("{split}/{name}/{number}.pgm"), &picture));
            }
        }
    }
    archive.extend(tar::member("train/dog/broken.pgm", HEADER));
    archive
}

/// The same file with pictures that nobody can decode; names and sizes are as before.
pub(crate) fn undecodable(pictures: &[u8]) -> Vec<u8> {
    let mut archive = pictures.to_vec();
    let starts: Vec<usize> = (0..archive.len()).step_by(512).filter(|&at| archive[at..].starts_with(HEADER)).collect();
    assert!(!starts.is_empty());
    for at in starts {
        archive[at..at + 2].copy_from_slice(b"XX");
    }
    archive
}

pub(crate) fn pictures_part() -> Part {
    Part::bytes(pictures()).file_name("pictures.tar")
}

/// MNIST's files with pictures of 20 x 12 pixels.
pub(crate) fn idx_part() -> Part {
    let (height, width) = (20_u32, 12_u32);
    let mut archive = Vec::new();
    for (split, count) in [("train", 40_u32), ("t10k", 10)] {
        let numbers = [0x0803, count, height, width].map(u32::to_be_bytes).concat();
        let pixels = (0..count * height * width).map(|place| place as u8);
        let pictures: Vec<u8> = numbers.into_iter().chain(pixels).collect();
        let numbers = [0x0801, count].map(u32::to_be_bytes).concat();
        let labels: Vec<u8> = numbers.into_iter().chain((0..count).map(|label| (label % 10) as u8)).collect();
        archive.extend(tar::member(&format!("{split}-images-idx3-ubyte"), &pictures));
        archive.extend(tar::member(&format!("{split}-labels-idx1-ubyte"), &labels));
    }
    Part::bytes(archive).file_name("idx.tar")
}

/// CIFAR-10's files.
pub(crate) fn cifar_part() -> Part {
    let record =
        |number: usize| std::iter::once((number % 2) as u8).chain((0..3072).map(move |place| (number + place) as u8));
    let records = |count: usize| (0..count).flat_map(record).collect::<Vec<u8>>();
    let archive = [tar::member("data_batch_1.bin", &records(40)), tar::member("test_batch.bin", &records(10))].concat();
    Part::bytes(archive).file_name("cifar.tar")
}
