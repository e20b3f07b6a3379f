//! Tensors as the pickles describe them, checked against the records that hold their elements.
//!
//! PyTorch trusts these numbers: a stride or an element count that is too large reads out of bounds, and a storage that
//! is named twice is loaded twice. Here every storage must be a record of exactly its size, named once, and every
//! tensor must lie inside its storage. [`TensorCheck`] is told of both while a pickle is read and keeps only counts.

use std::collections::{BTreeMap, HashSet};

use super::record::Records;
use crate::plain_text::{escaped, quoted};
use crate::rejection::{Code, QUANTIZED_HINT, Rejection};
use crate::untrusted::pickle::{Destination, Storage, StorageType, Tensor, Witness};

/// A tensor may repeat elements (stride 0), but all of them together unfold to at most this much more than the file.
const UNFOLDED_ALLOWANCE: u64 = 256 << 20;
/// How often the bytes of the file may occur in tensors (views of one storage, flattened RNN weights).
const UNFOLDED_FACTOR: u64 = 4;

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
pub(super) enum TensorUse {
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
    pub used_as: TensorUse,
    pub records: &'a Records<'a>,
    /// Bytes of the archive.
    pub file_bytes: u64,
    pub count: &'a mut TensorCount,
    /// The records that were named, by their number.
    loaded: HashSet<u32>,
}

impl<'a> TensorCheck<'a> {
    /// A check of the tensors in the pickle `record`, which adds to `count`.
    pub(super) fn new(
        record: &'a str,
        folder: &'a str,
        used_as: TensorUse,
        records: &'a Records<'a>,
        file_bytes: u64,
        count: &'a mut TensorCount,
    ) -> Self {
        Self { record, folder, used_as, records, file_bytes, count, loaded: HashSet::new() }
    }

    fn check_tensor(&mut self, tensor: &Tensor) -> Result<(), Fault> {
        let (Some(elements), Some(reach)) = (tensor.elements(), tensor.reach()) else {
            return Err(Fault::damaged(format!(
                "has impossible dimensions: {}; sizes must be at least 0 and their product must fit into 64 bits",
                tensor.shape()
            )));
        };
        let storage = tensor.storage;
        let stored = storage.elements.0;
        if reach > stored {
            return Err(Fault::damaged(format!(
                "reaches element {reach} of a storage of {stored} ({}); it must lie inside its storage",
                tensor.shape()
            )));
        }
        if self.used_as == TensorUse::Example {
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
                    "makes the tensors unfold to {} bytes from a file of {} ({}); at most {allowed} are allowed",
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
                format!("`{}` names the class `{module}.{name}`, but the record `{source}` is missing.", self.record),
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
            damaged(format!(
                "The storage {} has {elements} elements; their bytes must fit into 64 bits.",
                quoted(&record)
            ))
        })?;
        match self.records.get(&record) {
            Some(entry) if entry.size == bytes => {}
            Some(entry) if entry.size == 0 && self.used_as == TensorUse::Example => {}
            Some(entry) => {
                return Err(damaged(format!(
                    "The record {} has {} bytes, but its {elements} elements of {} take {bytes}.",
                    quoted(&record),
                    entry.size,
                    storage.dtype.name()
                )));
            }
            // An empty storage is never looked up.
            None if bytes == 0 => {}
            None => {
                return Err(damaged(format!(
                    "The record {} with the elements of a tensor is missing.",
                    quoted(&record)
                )));
            }
        }
        if let Some(number) = self.records.number(&record)
            && !self.loaded.insert(number)
        {
            return Err(Rejection::new(
                Code::UnsafeArchive,
                format!(
                    "`{}` loads the record {} more than once; each may be loaded once.",
                    self.record,
                    quoted(&record)
                ),
            )
            .at(self.record));
        }
        if self.used_as == TensorUse::Weights {
            self.count.storage_bytes += bytes;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &Tensor, place: &Destination) -> Result<(), Rejection> {
        self.check_tensor(tensor).map_err(|fault| fault.of(&place.name()))
    }
}

/// What is wrong with a tensor, before its name is known.
struct Fault {
    code: Code,
    what: String,
    hint: Option<&'static str>,
}

impl Fault {
    fn damaged(what: String) -> Self {
        Self { code: Code::DamagedArchive, what, hint: None }
    }

    fn of(self, name: &str) -> Rejection {
        let rejection = Rejection::new(self.code, format!("The tensor `{name}` {}.", self.what)).at(name);
        match self.hint {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        }
    }
}

fn check_dtype(dtype: StorageType, elements: u64) -> Result<(), Fault> {
    let hint = match dtype {
        StorageType::Float32
        | StorageType::Int64
        | StorageType::Int32
        | StorageType::Int16
        | StorageType::Int8
        | StorageType::Uint8
        | StorageType::Bool => {
            return Ok(());
        }
        // Tracing writes Python numbers as constants of one element.
        StorageType::Float64 if elements <= 1 => return Ok(()),
        StorageType::Qint8 | StorageType::Quint8 | StorageType::Qint32 => QUANTIZED_HINT,
        StorageType::Complex32 | StorageType::Complex64 | StorageType::Complex128 => {
            "Replace the complex weights by real ones: complex weights cannot be pruned."
        }
        StorageType::Float64 | StorageType::Float16 | StorageType::Bfloat16 => {
            "Call `model.float()` before tracing or scripting the model."
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
