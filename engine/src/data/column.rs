//! The samples of a split for one input, or its labels: in memory on the device, or in the file.
//!
//! What takes more than a share of the memory that the process may have stays in the file, and each batch is read from there. The
//! pages that were read belong to the kernel, so engines that read one file share them, and none of them counts as memory of its own.

use secateur_core::dataset::{ColumnReader, Elements};
use secateur_core::rejection::Code;
use tch::{Device, Tensor};

use crate::error::Error;
use crate::process::memory;

/// What a column takes at most of a GPU's memory, which nobody has told.
const MOST_ON_GPU: u64 = 2 << 30;

pub enum Column {
    /// `[N, ...]`, in the type that is stored.
    InMemory(Tensor),
    InFile {
        reader: ColumnReader,
        device: Device,
    },
}

impl Column {
    /// # Errors
    /// A rejection when it is packed and does not fit into memory.
    pub(super) fn of(reader: ColumnReader, device: Device) -> Result<Self, Error> {
        let most = if device == Device::Cpu { memory::share() } else { memory::share().min(MOST_ON_GPU) };
        Self::within(most, reader, device)
    }

    /// A column that is in memory when it takes no more than so many bytes.
    fn within(most_bytes: u64, reader: ColumnReader, device: Device) -> Result<Self, Error> {
        if reader.bytes() > most_bytes && reader.has_random_access() {
            return Ok(Self::InFile { reader, device });
        }
        let elements = reader.read_all()?;
        Ok(Self::InMemory(tensor(&elements, reader.count(), reader.shape())?.f_to(device)?))
    }

    pub fn count(&self) -> i64 {
        match self {
            Self::InMemory(samples) => samples.size().first().copied().unwrap_or(0),
            Self::InFile { reader, .. } => reader.count() as i64,
        }
    }

    /// The shape of one sample.
    pub fn sample_shape(&self) -> Vec<i64> {
        match self {
            Self::InMemory(samples) => samples.size().into_iter().skip(1).collect(),
            Self::InFile { reader, .. } => reader.shape().iter().map(|&size| size as i64).collect(),
        }
    }

    pub fn device(&self) -> Device {
        match self {
            Self::InMemory(samples) => samples.device(),
            Self::InFile { device, .. } => *device,
        }
    }

    /// Consecutive samples, in the type that is stored.
    pub fn range(&self, start: i64, count: i64) -> Result<Tensor, Error> {
        match self {
            Self::InMemory(samples) => Ok(samples.f_narrow(0, start, count)?),
            Self::InFile { reader, device } => read(reader, start as usize..(start + count) as usize, *device),
        }
    }

    /// Samples by index (int64), in the type that is stored.
    pub fn select(&self, indices: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::InMemory(samples) => Ok(samples.f_index_select(0, indices)?),
            Self::InFile { reader, device } => {
                read(reader, numbers(indices)?.into_iter().map(|index| index as usize), *device)
            }
        }
    }

    /// Has the kernel read samples beforehand that will be asked for; what goes wrong is seen when they are.
    pub fn expect(&self, indices: &Tensor) -> Result<(), Error> {
        let Self::InFile { reader, .. } = self else { return Ok(()) };
        for index in numbers(indices)? {
            if let Some((file, place)) = reader.place(index as usize) {
                let length = std::num::NonZeroU64::new(place.end - place.start);
                let _ = rustix::fs::fadvise(file, place.start, length, rustix::fs::Advice::WillNeed);
            }
        }
        Ok(())
    }
}

fn numbers(indices: &Tensor) -> Result<Vec<i64>, Error> {
    Ok(Vec::try_from(&indices.f_to(Device::Cpu)?)?)
}

fn read(reader: &ColumnReader, samples: impl ExactSizeIterator<Item = usize>, device: Device) -> Result<Tensor, Error> {
    let count = samples.len();
    // The file was checked when it was opened first.
    let elements = reader.read(samples).map_err(|rejection| match rejection.code {
        Code::InvalidDataset => {
            Error::internal(format!("the data set changed while it was used: {}", rejection.detail))
        }
        _ => rejection.into(),
    })?;
    Ok(tensor(&elements, count, reader.shape())?.f_to(device)?)
}

/// `[count, ...]`, in the type that is stored.
fn tensor(elements: &Elements, count: usize, shape: &[usize]) -> Result<Tensor, Error> {
    let shape: Vec<i64> = [count].iter().chain(shape).map(|&size| size as i64).collect();
    let flat = match elements {
        Elements::U8(values) => Tensor::f_from_slice(values)?,
        Elements::I64(values) => Tensor::f_from_slice(values)?,
        Elements::F32(values) => Tensor::f_from_slice(values)?,
    };
    Ok(flat.f_view(&shape[..])?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secateur_core::dataset::{Dataset, Layout, Split};
    use tch::Kind;

    use super::*;
    use crate::network::weights::save_named;

    /// Channels last, of which a split is taken off: what is in the file comes out as what is in memory.
    #[test]
    fn samples_in_the_file_are_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let x = Tensor::arange(40 * 24, (Kind::Double, Device::Cpu)).view([40, 2, 4, 3]);
        save_named(&path, [("x", &x)]).unwrap();
        let dataset = Dataset::open(&path).unwrap();
        for split in [Split::Train, Split::Val] {
            let column = |most_bytes| {
                let reader = dataset.split(split, &[Layout::Nhwc], 5).unwrap().inputs.remove(0);
                Column::within(most_bytes, reader, Device::Cpu).unwrap()
            };
            let (in_memory, in_file) = (column(u64::MAX), column(0));
            assert!(matches!((&in_memory, &in_file), (Column::InMemory(_), Column::InFile { .. })));
            assert_eq!((in_file.count(), in_file.sample_shape()), (in_memory.count(), vec![3, 2, 4]));
            assert!(in_file.range(1, 2).unwrap().equal(&in_memory.range(1, 2).unwrap()));
            let indices = Tensor::from_slice(&[2_i64, 0, 2]);
            in_file.expect(&indices).unwrap();
            assert!(in_file.select(&indices).unwrap().equal(&in_memory.select(&indices).unwrap()));
        }
    }

    #[test]
    fn what_is_packed_comes_into_memory() {
        let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits.npz");
        let reader = || Dataset::open(&digits).unwrap().split(Split::Val, &[Layout::Nchw], 0).unwrap().inputs.remove(0);
        assert!(!reader().has_random_access());
        assert!(matches!(Column::within(0, reader(), Device::Cpu).unwrap(), Column::InMemory(_)));
    }
}
