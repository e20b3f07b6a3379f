//! Samples of a split, read when they are asked for: all at once, or some by number.
//!
//! An array whose elements lie in the file as they are is read at any place; what is packed is unpacked from the front, so all
//! of it is read at once or not at all.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Layout;
use super::array::Array;
use super::number_type::NumberType;
use crate::rejection::{Code, Rejection};

/// The elements of an array, one sample after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// Bytes as they are stored; truth values are 0 and 1.
    U8(Vec<u8>),
    /// Integers of any other stored type.
    I64(Vec<i64>),
    /// Floats of any stored type.
    F32(Vec<f32>),
}

/// What one split stores for one input, or as its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The samples' count times the product of `shape`.
    pub elements: Elements,
    /// The shape of one sample; of pictures channels first.
    pub shape: Vec<usize>,
}

/// The samples and labels of one split in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitData {
    /// One for each input of the model.
    pub inputs: Vec<Column>,
    /// How many samples there are.
    pub count: usize,
    /// `None` for an unlabelled data set.
    pub labels: Option<Column>,
}

/// The samples and labels of one split in the file.
#[derive(Debug)]
pub struct SplitReader {
    /// One for each input of the model.
    pub inputs: Vec<ColumnReader>,
    /// How many samples there are.
    pub count: usize,
    /// `None` for an unlabelled data set.
    pub labels: Option<ColumnReader>,
}

/// What one split stores for one input, or as its labels.
#[derive(Debug)]
pub struct ColumnReader {
    file: Arc<File>,
    array: Array,
    layout: Layout,
    shape: Vec<usize>,
    /// The numbers of its samples in the array, ascending; `None` where they are all its.
    members: Option<Arc<[u32]>>,
}

/// An array as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct StoredArray<'a> {
    pub(super) file: &'a Arc<File>,
    pub(super) array: &'a Array,
}

impl<'a> StoredArray<'a> {
    /// Its name, such as `x_val`.
    pub fn name(self) -> &'a str {
        &self.array.name
    }

    /// The name of its type in `.safetensors`, such as `U8`.
    pub fn safetensors_type(self) -> &'static str {
        self.array.number.safetensors_name()
    }

    /// Its dimensions, the samples first.
    pub fn shape(self) -> &'a [usize] {
        &self.array.shape
    }

    /// Bytes of its elements.
    pub fn bytes(self) -> u64 {
        (self.array.samples() * self.array.sample_elements() * self.array.number.bytes()) as u64
    }

    /// What all samples take in memory.
    pub fn bytes_in_memory(self) -> u64 {
        bytes_in_memory(self.array, self.array.samples())
    }

    /// Whether its elements are packed, so that it is read as a whole.
    pub fn is_packed(self) -> bool {
        self.array.location.start().is_none()
    }

    /// Its elements, unpacked and little-endian.
    ///
    /// # Errors
    /// [`Code::InvalidDataset`] when the file can no longer be read.
    pub fn read(self) -> Result<impl Read, Rejection> {
        Ok(self.array.reader(self.file)?.take(self.bytes()))
    }
}

impl SplitReader {
    /// Everything, in the order of the file.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`] when it does not fit, [`Code::InvalidDataset`] when the file can no longer be read.
    pub fn read_all(&self) -> Result<SplitData, Rejection> {
        let column = |reader: &ColumnReader| {
            Ok::<_, Rejection>(Column { elements: reader.read_all()?, shape: reader.shape.clone() })
        };
        Ok(SplitData {
            inputs: self.inputs.iter().map(column).collect::<Result<_, _>>()?,
            count: self.count,
            labels: self.labels.as_ref().map(column).transpose()?,
        })
    }
}

impl ColumnReader {
    /// # Errors
    /// [`Code::DatasetMismatch`] when the samples do not have the dimensions of `layout`.
    pub(super) fn new(
        file: &Arc<File>,
        array: &Array,
        layout: Layout,
        members: Option<Arc<[u32]>>,
    ) -> Result<Self, Rejection> {
        let shape = loaded_shape(array.sample_shape(), layout).ok_or_else(|| {
            Rejection::new(
                Code::DatasetMismatch,
                format!(
                    "Samples of shape {:?} have no channels-last layout; it needs two dimensions or more.",
                    array.sample_shape()
                ),
            )
            .at(&array.name)
        })?;
        Ok(Self { file: Arc::clone(file), array: array.clone(), layout, shape, members })
    }

    /// The shape of one sample as it is read; of pictures channels first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.members.as_ref().map_or(self.array.samples(), |members| members.len())
    }

    /// What all samples take in memory.
    pub fn bytes(&self) -> u64 {
        bytes_in_memory(&self.array, self.count())
    }

    /// Whether [`Self::read`] works: nothing is packed.
    pub fn has_random_access(&self) -> bool {
        self.array.location.start().is_some()
    }

    /// The file, and where a sample lies in it; `None` where it is packed.
    pub fn place(&self, sample: usize) -> Option<(&File, Range<u64>)> {
        let start = self.array.location.start()?;
        let stored = self.stored(sample) as u64;
        let bytes = (self.array.sample_elements() * self.array.number.bytes()) as u64;
        Some((&self.file, start + stored * bytes..start + (stored + 1) * bytes))
    }

    /// All samples, in the order of the file.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`] when they do not fit, [`Code::InvalidDataset`] when the file can no longer be read.
    pub fn read_all(&self) -> Result<Elements, Rejection> {
        let mut elements = self.room_for(self.count())?;
        let mut bytes = self.buffer()?;
        let mut reader = BufReader::with_capacity(1 << 18, self.array.reader(&self.file)?);
        let mut next = 0;
        for stored in 0..self.array.samples() {
            reader.read_exact(&mut bytes).map_err(|error| self.array.unreadable(&error))?;
            let is_member = self.members.as_ref().is_none_or(|members| members.get(next) == Some(&(stored as u32)));
            if is_member {
                next += 1;
                self.decode(&bytes, &mut elements);
            }
        }
        Ok(elements)
    }

    /// Some samples by number, in the order in which they are asked for.
    ///
    /// # Errors
    /// [`Code::OutOfMemory`] when they do not fit, [`Code::InvalidDataset`] when the file can no longer be read, or when the
    /// samples are packed.
    ///
    /// # Panics
    /// When there is no sample of such a number.
    pub fn read(&self, samples: impl ExactSizeIterator<Item = usize>) -> Result<Elements, Rejection> {
        let start = self.array.location.start().ok_or_else(|| {
            Rejection::new(Code::InvalidDataset, format!("`{}` is packed and is read as a whole.", self.array.name))
        })?;
        let mut elements = self.room_for(samples.len())?;
        let mut bytes = self.buffer()?;
        for sample in samples {
            let offset = start + self.stored(sample) as u64 * bytes.len() as u64;
            self.file.read_exact_at(&mut bytes, offset).map_err(|error| self.array.unreadable(&error))?;
            self.decode(&bytes, &mut elements);
        }
        Ok(elements)
    }

    /// The number of a sample in the array.
    fn stored(&self, sample: usize) -> usize {
        self.members.as_ref().map_or(sample, |members| members[sample] as usize)
    }

    fn room_for(&self, samples: usize) -> Result<Elements, Rejection> {
        let count = samples.saturating_mul(self.array.sample_elements());
        Ok(match self.array.number {
            number if number.is_float() => Elements::F32(with_capacity(count)?),
            number if number.is_byte() => Elements::U8(with_capacity(count)?),
            _ => Elements::I64(with_capacity(count)?),
        })
    }

    /// For the stored bytes of one sample.
    fn buffer(&self) -> Result<Vec<u8>, Rejection> {
        let count = self.array.sample_elements() * self.array.number.bytes();
        let mut bytes = with_capacity(count)?;
        bytes.resize(count, 0);
        Ok(bytes)
    }

    /// Adds one sample.
    fn decode(&self, bytes: &[u8], elements: &mut Elements) {
        let number: NumberType = self.array.number;
        match elements {
            Elements::U8(elements) => self.arrange(elements, |elements| elements.extend_from_slice(bytes)),
            Elements::F32(elements) => {
                self.arrange(elements, |elements| number.for_each_float(bytes, |value| elements.push(value)));
            }
            Elements::I64(elements) => self.arrange(elements, |elements| {
                // Numbers beyond int64 are refused when the data set is opened; there are some only if the file has changed since.
                number.for_each_integer(bytes, |value| {
                    elements.push(value.unwrap_or(i64::MAX));
                });
            }),
        }
    }

    /// Brings the sample that `add` adds into the layout in which the model takes it.
    fn arrange<T: Copy>(&self, elements: &mut Vec<T>, add: impl FnOnce(&mut Vec<T>)) {
        let start = elements.len();
        add(elements);
        if self.layout == Layout::Nhwc {
            let channels = *self.array.sample_shape().last().expect("a sample has a dimension");
            let sample = elements.split_off(start);
            for channel in 0..channels {
                elements.extend(sample[channel..].iter().step_by(channels));
            }
        }
    }
}

fn bytes_in_memory(array: &Array, samples: usize) -> u64 {
    let sample = (array.number.loaded_bytes() as u64).saturating_mul(array.sample_elements() as u64);
    sample.saturating_mul(samples as u64)
}

/// The shape of a stored sample after loading, `None` when it cannot have the layout.
pub(super) fn loaded_shape(stored: &[usize], layout: Layout) -> Option<Vec<usize>> {
    match (layout, stored) {
        (Layout::Nchw, &[height, width]) => Some(vec![1, height, width]),
        (Layout::Nchw | Layout::AsIs, _) => Some(stored.to_vec()),
        (Layout::Nhwc, [spatial @ .., channels]) if !spatial.is_empty() => Some([&[*channels], spatial].concat()),
        (Layout::Nhwc, _) => None,
    }
}

/// An empty vector with room for `count`, or a rejection instead of an abort.
fn with_capacity<T>(count: usize) -> Result<Vec<T>, Rejection> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count).map_err(|_| {
        Rejection::new(
            Code::OutOfMemory,
            format!("The samples do not fit into memory: they have {count} values of {} bytes.", size_of::<T>()),
        )
    })?;
    Ok(vector)
}
