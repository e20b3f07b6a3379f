//! Tensors as the pickles describe them, checked against the records that hold their elements.
//!
//! PyTorch trusts these numbers: a stride or an element count that is too large reads out of bounds, and a storage that
//! is named twice is loaded twice. Here every storage must be a record of exactly its size, named once, and every
//! tensor must lie inside its storage. [`TensorCheck`] is told of both while a pickle is read and keeps only counts.

use std::collections::{BTreeMap, HashSet};

use super::name::{escaped, quoted};
use super::pickle::{Packed, Place, Witness};
use super::record::Records;
use crate::rejection::{Code, Rejection};

/// A tensor may repeat elements (stride 0), but all of them together unfold to at most this much more than the file.
const UNFOLDED_ALLOWANCE: u64 = 256 << 20;
/// How often the bytes of the file may occur in tensors (views of one storage, flattened RNN weights).
const UNFOLDED_FACTOR: u64 = 4;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    Float32,
    Int64,
    Int32,
    Int16,
    Int8,
    Uint8,
    Bool,
    Float64,
    Float16,
    Bfloat16,
    Complex32,
    Complex64,
    Complex128,
    Qint8,
    Quint8,
    Qint32,
}

impl Dtype {
    /// The element type of `torch.FloatStorage` and its like.
    pub(super) fn of_storage(storage: &str) -> Option<Self> {
        Some(match storage {
            "FloatStorage" => Self::Float32,
            "LongStorage" => Self::Int64,
            "IntStorage" => Self::Int32,
            "ShortStorage" => Self::Int16,
            "CharStorage" => Self::Int8,
            "ByteStorage" => Self::Uint8,
            "BoolStorage" => Self::Bool,
            "DoubleStorage" => Self::Float64,
            "HalfStorage" => Self::Float16,
            "BFloat16Storage" => Self::Bfloat16,
            "ComplexHalfStorage" => Self::Complex32,
            "ComplexFloatStorage" => Self::Complex64,
            "ComplexDoubleStorage" => Self::Complex128,
            "QInt8Storage" => Self::Qint8,
            "QUInt8Storage" => Self::Quint8,
            "QInt32Storage" => Self::Qint32,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        self.name_and_bytes().0
    }

    fn bytes(self) -> u64 {
        self.name_and_bytes().1
    }

    fn name_and_bytes(self) -> (&'static str, u64) {
        match self {
            Self::Float32 => ("float32", 4),
            Self::Int64 => ("int64", 8),
            Self::Int32 => ("int32", 4),
            Self::Int16 => ("int16", 2),
            Self::Int8 => ("int8", 1),
            Self::Uint8 => ("uint8", 1),
            Self::Bool => ("bool", 1),
            Self::Float64 => ("float64", 8),
            Self::Float16 => ("float16", 2),
            Self::Bfloat16 => ("bfloat16", 2),
            Self::Complex32 => ("complex32", 4),
            Self::Complex64 => ("complex64", 8),
            Self::Complex128 => ("complex128", 16),
            Self::Qint8 => ("qint8", 1),
            Self::Quint8 => ("quint8", 1),
            Self::Qint32 => ("qint32", 4),
        }
    }
}

/// A block of elements in a record of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage {
    pub dtype: Dtype,
    /// Whether it was on a GPU or the like when it was saved; it is loaded to the CPU either way.
    pub on_accelerator: bool,
    pub elements: Packed<u64>,
}

/// A strided view of a storage; all numbers count elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor<'a> {
    pub storage: Storage,
    pub offset: i64,
    pub sizes: &'a [i64],
    pub strides: &'a [i64],
}

impl Tensor<'_> {
    /// Elements of the tensor, those that repeat counted each time. `None` when a size is negative or the product overflows.
    fn elements(&self) -> Option<u64> {
        self.sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::try_from(size).ok()?))
    }

    /// Elements of the storage up to the last one that the tensor reaches. `None` when a number is negative or too large.
    fn reach(&self) -> Option<u64> {
        let mut last = u64::try_from(self.offset).ok()?;
        if self.elements()? == 0 {
            return Some(last);
        }
        for (&size, &stride) in self.sizes.iter().zip(self.strides) {
            let steps = u64::try_from(size).ok()? - 1;
            last = last.checked_add(steps.checked_mul(u64::try_from(stride).ok()?)?)?;
        }
        last.checked_add(1)
    }

    fn shape(&self) -> String {
        format!("sizes {:?}, strides {:?}, offset {}", self.sizes, self.strides, self.offset)
    }
}

/// What was counted while checking.
#[derive(Debug, Default)]
pub(super) struct TensorCount {
    pub tensors: usize,
    pub storage_bytes: u64,
    pub device_tensors: usize,
    pub dtypes: BTreeMap<&'static str, usize>,
    unfolded_bytes: u64,
}

/// What the tensors of a pickle are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Parameters, buffers and constants, with their elements.
    Weights,
    /// The example of a trace: any type, and records without elements, since only the shapes are used.
    Example,
}

/// Checks the tensors of one pickle.
pub(super) struct TensorCheck<'a> {
    /// The pickle, `data.pkl`.
    pub record: &'a str,
    /// The folder of its storages, `data`.
    pub folder: &'a str,
    pub role: Role,
    pub records: &'a Records<'a>,
    /// Bytes of the archive.
    pub file_bytes: u64,
    pub count: &'a mut TensorCount,
    /// The records that were named, by their number.
    loaded: HashSet<u32>,
}

impl<'a> TensorCheck<'a> {
    pub(super) fn new(
        record: &'a str,
        folder: &'a str,
        role: Role,
        records: &'a Records<'a>,
        file_bytes: u64,
        count: &'a mut TensorCount,
    ) -> Self {
        Self { record, folder, role, records, file_bytes, count, loaded: HashSet::new() }
    }

    fn check_tensor(&mut self, tensor: &Tensor) -> Result<(), Fault> {
        let (Some(elements), Some(reach)) = (tensor.elements(), tensor.reach()) else {
            return Err(Fault::damaged(format!("has impossible dimensions: {}", tensor.shape())));
        };
        let storage = tensor.storage;
        let stored = storage.elements.0;
        if reach > stored {
            return Err(Fault::damaged(format!(
                "reaches element {reach} of a storage of {stored} ({})",
                tensor.shape()
            )));
        }
        if self.role == Role::Example {
            return Ok(());
        }
        check_dtype(storage.dtype, elements)?;

        let count = &mut *self.count;
        count.unfolded_bytes = count.unfolded_bytes.saturating_add(elements.saturating_mul(storage.dtype.bytes()));
        let allowed = self.file_bytes.saturating_mul(UNFOLDED_FACTOR).saturating_add(UNFOLDED_ALLOWANCE);
        if count.unfolded_bytes > allowed {
            return Err(Fault {
                code: Code::UnsafeArchive,
                what: format!(
                    "makes the tensors unfold to {} bytes, more than {allowed}, from a file of {} ({})",
                    count.unfolded_bytes,
                    self.file_bytes,
                    tensor.shape()
                ),
                hint: None,
            });
        }
        count.tensors += 1;
        count.device_tensors += usize::from(storage.on_accelerator);
        *count.dtypes.entry(storage.dtype.name()).or_default() += 1;
        Ok(())
    }
}

impl Witness for TensorCheck<'_> {
    /// Every class that a pickle names must have its source file.
    fn class(&mut self, module: &str, name: &str) -> Result<(), Rejection> {
        let source = format!("code/{}.py", module.replace('.', "/"));
        if self.records.get(&source).is_none() {
            return Err(Rejection::new(
                Code::DamagedArchive,
                format!("`{}` names the class `{module}.{name}`, but the record `{source}` is missing", self.record),
            )
            .at(source));
        }
        Ok(())
    }

    fn storage(&mut self, storage: &Storage, key: &str) -> Result<(), Rejection> {
        let record = format!("{}/{key}", self.folder);
        let damaged = |what: String| Rejection::new(Code::DamagedArchive, what).at(escaped(&record));
        let elements = storage.elements.0;
        let bytes = elements.checked_mul(storage.dtype.bytes()).ok_or_else(|| {
            damaged(format!("the storage {} has {elements} elements, which is impossible", quoted(&record)))
        })?;
        match self.records.get(&record) {
            Some(entry) if entry.size == bytes => {}
            Some(entry) if entry.size == 0 && self.role == Role::Example => {}
            Some(entry) => {
                return Err(damaged(format!(
                    "the record {} has {} bytes, but its {elements} elements of {} take {bytes}",
                    quoted(&record),
                    entry.size,
                    storage.dtype.name()
                )));
            }
            // An empty storage is never looked up.
            None if bytes == 0 => {}
            None => {
                return Err(damaged(format!(
                    "the record {} with the elements of a tensor is missing",
                    quoted(&record)
                )));
            }
        }
        if let Some(number) = self.records.number(&record)
            && !self.loaded.insert(number)
        {
            return Err(Rejection::new(
                Code::UnsafeArchive,
                format!("`{}` loads the record {} more than once", self.record, quoted(&record)),
            )
            .at(self.record));
        }
        if self.role == Role::Weights {
            self.count.storage_bytes += bytes;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &Tensor, place: &Place) -> Result<(), Rejection> {
        self.check_tensor(tensor).map_err(|fault| fault.of(&place.name()))
    }
}

/// What is wrong with a tensor, before its name is known.
pub(super) struct Fault {
    code: Code,
    what: String,
    hint: Option<&'static str>,
}

impl Fault {
    fn damaged(what: String) -> Self {
        Self { code: Code::DamagedArchive, what, hint: None }
    }

    pub(super) fn of(self, name: &str) -> Rejection {
        let rejection = Rejection::new(self.code, format!("the tensor `{name}` {}", self.what)).at(name);
        match self.hint {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        }
    }
}

fn check_dtype(dtype: Dtype, elements: u64) -> Result<(), Fault> {
    let hint = match dtype {
        Dtype::Float32 | Dtype::Int64 | Dtype::Int32 | Dtype::Int16 | Dtype::Int8 | Dtype::Uint8 | Dtype::Bool => {
            return Ok(());
        }
        // Tracing writes Python numbers as constants of one element.
        Dtype::Float64 if elements <= 1 => return Ok(()),
        Dtype::Qint8 | Dtype::Quint8 | Dtype::Qint32 => super::QUANTIZED_HINT,
        Dtype::Complex32 | Dtype::Complex64 | Dtype::Complex128 => "complex weights cannot be pruned",
        Dtype::Float64 | Dtype::Float16 | Dtype::Bfloat16 => {
            "call `model.float()` before tracing or scripting the model"
        }
    };
    Err(Fault {
        code: Code::UnsupportedDtype,
        what: format!(
            "is {}; weights must be float32, other tensors float32, bool, uint8 or int8 to int64",
            dtype.name()
        ),
        hint: Some(hint),
    })
}

/// Whether a tensor was saved from an accelerator.
pub(super) fn device_is_accelerator(device: &str) -> Result<bool, Fault> {
    let (kind, index) = device.split_once(':').unwrap_or((device, "0"));
    let known_index = index.len() <= 3 && index.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        "cpu" if known_index => Ok(false),
        "cuda" | "mps" | "xpu" if known_index => Ok(true),
        _ => Err(Fault {
            code: Code::UnsupportedDtype,
            what: format!("was saved on the device {}", quoted(device)),
            hint: Some("call `model.cpu()` before saving the model"),
        }),
    }
}
