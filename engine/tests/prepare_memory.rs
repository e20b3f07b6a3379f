//! A conversion holds a few samples for each thread, however many there are and whatever their headers claim: the peak of the heap.
//!
//! One test in a binary of its own, since the allocator counts for the whole process. What it counts is pessimistic: a block that
//! grows is held twice for a moment.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{ImageFormat, Rgb, RgbImage};
use secateur_core::dataset::source::Source;
use secateur_core::graph::DType;
use secateur_engine::prepare::{Wanted, convert};

const PICTURES: usize = 150;
const SIDE: u32 = 1000;
const THREADS: usize = 2;
/// Decoded, the pictures are 450 MB. Two threads hold a few copies of one each, and the channel some encoded ones.
const MOST: usize = 32_000_000;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn count(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; only sizes are counted beside it.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the block came from `System` with this layout, and the caller vouches for the new size.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

fn add(archive: &mut impl Write, name: &str, bytes: &[u8]) {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    archive.write_all(&header).unwrap();
    archive.write_all(bytes).unwrap();
    archive.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]).unwrap();
}

fn write_pictures(path: &Path) {
    let mut jpeg = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, (x + y) as u8]));
    picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    // A PBM has no checksum that its header would have to fit.
    let claims = b"P6 100000 100000 255\n".to_vec();
    let mut archive = BufWriter::new(File::create(path).unwrap());
    for number in 0..PICTURES {
        add(&mut archive, &format!("{}/{number}.jpg", number % 2), jpeg.get_ref());
    }
    add(&mut archive, "0/claims.ppm", &claims);
    archive.flush().unwrap();
}

#[test]
fn a_conversion_holds_a_few_samples_for_each_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (tar, out) = (folder.path().join("set.tar"), folder.path().join("store.safetensors"));
    write_pictures(&tar);
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);

    let source = Source::recognise(&Arc::new(File::open(&tar).unwrap())).unwrap().unwrap();
    let wanted = Wanted { shape: vec![3, 224, 224], dtype: DType::Float32, resize: None, seed: 0, threads: THREADS };
    let converted = convert(&source, &wanted, &out, &mut |_, _| {}).unwrap();

    let peak = PEAK.load(Ordering::Relaxed) - before;
    println!("{PICTURES} pictures of {SIDE} x {SIDE} on {THREADS} threads: {peak} bytes at most");
    assert_eq!((converted.samples.train, converted.bad.count), (PICTURES, 1));
    assert!(converted.bad.first[0].reason.contains("100000 x 100000"), "{:?}", converted.bad);
    assert!(peak < MOST, "{peak} bytes were held; {MOST} are allowed");
}
