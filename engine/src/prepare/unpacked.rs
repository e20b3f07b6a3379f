//! Packed arrays as `.safetensors`, in which any sample can be read by itself.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use secateur_core::dataset::Dataset;

use super::store::{Entry, check_room, header, written};
use crate::error::Error;

/// The header's length is a multiple of this, as the format's own writers have it.
const ALIGNMENT: usize = 8;

/// Writes all arrays of a data set as they are, unpacked.
///
/// # Errors
/// When the data set can no longer be read, or the disk is full.
pub fn unpack(dataset: &Dataset, out: &Path) -> Result<(), Error> {
    let mut end = 0;
    let entries = dataset.arrays().map(|array| {
        let start = end;
        end += array.bytes();
        Entry { name: array.name(), dtype: array.safetensors_type(), shape: array.shape(), bytes: start..end }
    });
    let mut header = header(entries).into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    let file = File::create(out).map_err(Error::file(out))?;
    check_room(&file, out, end + header.len() as u64)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(written(out))?;
    file.write_all(&header).map_err(written(out))?;
    for array in dataset.arrays() {
        io::copy(&mut array.read()?, &mut file).map_err(written(out))?;
    }
    let file = file.into_inner().map_err(|error| written(out)(error.into_error()))?;
    file.sync_all().map_err(written(out))
}

#[cfg(test)]
mod tests {
    use secateur_core::dataset::{Layout, Split};

    use super::*;

    #[test]
    fn packed_arrays_are_the_same_when_they_are_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("unpacked.safetensors");
        let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits.npz");
        let packed = Dataset::open(&digits).unwrap();
        assert!(packed.arrays().any(|array| array.is_packed()));
        unpack(&packed, &out).unwrap();

        let unpacked = Dataset::open(&out).unwrap();
        assert!(!unpacked.arrays().any(|array| array.is_packed()));
        let samples = |dataset: &Dataset, split| dataset.split(split, &[Layout::Nchw], 0).unwrap().read_all().unwrap();
        for split in [Split::Train, Split::Val, Split::Test] {
            assert_eq!(samples(&unpacked, split), samples(&packed, split));
            assert!(unpacked.split(split, &[Layout::Nchw], 0).unwrap().inputs[0].has_random_access());
        }
    }
}
