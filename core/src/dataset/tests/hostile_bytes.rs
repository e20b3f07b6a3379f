use proptest::prelude::*;
use zip::CompressionMethod;

use super::fixture::{FileFixture, labels, npz_packed, open, pictures, safetensors};
use crate::dataset::Dataset;

fn files() -> [Vec<u8>; 3] {
    let arrays = [pictures("x", 30), labels("y", 30)];
    [
        npz_packed(&arrays, CompressionMethod::Stored),
        npz_packed(&arrays, CompressionMethod::Deflated),
        safetensors(&arrays),
    ]
}

#[test]
fn a_file_cut_off_at_any_byte_is_refused() {
    for bytes in files() {
        let file = FileFixture::new(&[]);
        for length in 0..bytes.len() {
            std::fs::write(file.path(), &bytes[..length]).unwrap();
            Dataset::open(&file.path()).expect_err("a file that was cut off is refused");
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for mut bytes in files() {
            for (index, byte) in &changes {
                let position = index.index(bytes.len());
                bytes[position] = *byte;
            }
            let _ = open(&bytes);
        }
    }

    #[test]
    fn random_npy_headers_never_panic(header in "\\{('descr'|'shape'|'fortran_order'|: |, |'<f4'|\\(|\\)|[0-9]|True|False|\\}){0,12}") {
        let npy = super::fixture::npy(&header, &[0; 24]);
        let _ = open(&super::fixture::zip(&[("x.npy", &npy)], CompressionMethod::Stored));
    }
}
