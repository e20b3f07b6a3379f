//! Tensors as the pickles describe them, checked against the records that hold their elements.
//!
//! PyTorch trusts these numbers: a stride or an element count that is too large reads out of bounds, and a storage that
//! is named twice is loaded twice. Here every storage must be a record of exactly its size, named once, and every
//! tensor must lie inside its storage.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::pickle::Pickle;
use super::zip::Entry;
use crate::rejection::{Code, Rejection};

/// A tensor may repeat elements (stride 0), but all of them together unfold to at most this much more than the file.
const UNFOLDED_ALLOWANCE: u64 = 256 << 20;
/// How often the bytes of the file may occur in tensors (views of one storage, flattened RNN weights).
const UNFOLDED_FACTOR: u64 = 4;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dtype {
    pub name: &'static str,
    bytes: u64,
    support: Support,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Support {
    Yes,
    /// Tracing writes Python numbers as float64 constants of one element.
    ScalarOnly,
    No,
}

impl Dtype {
    /// The element type of `torch.FloatStorage` and its like.
    pub(super) fn of_storage(storage: &str) -> Option<Self> {
        use Support::{No, ScalarOnly, Yes};
        let (name, bytes, support) = match storage {
            "FloatStorage" => ("float32", 4, Yes),
            "LongStorage" => ("int64", 8, Yes),
            "IntStorage" => ("int32", 4, Yes),
            "ShortStorage" => ("int16", 2, Yes),
            "CharStorage" => ("int8", 1, Yes),
            "ByteStorage" => ("uint8", 1, Yes),
            "BoolStorage" => ("bool", 1, Yes),
            "DoubleStorage" => ("float64", 8, ScalarOnly),
            "HalfStorage" => ("float16", 2, No),
            "BFloat16Storage" => ("bfloat16", 2, No),
            "ComplexHalfStorage" => ("complex32", 4, No),
            "ComplexFloatStorage" => ("complex64", 8, No),
            "ComplexDoubleStorage" => ("complex128", 16, No),
            "QInt8Storage" => ("qint8", 1, No),
            "QUInt8Storage" => ("quint8", 1, No),
            "QInt32Storage" => ("qint32", 4, No),
            _ => return None,
        };
        Some(Self { name, bytes, support })
    }
}

/// A block of elements in a record of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub dtype: Dtype,
    /// The record's name below the tensor folder.
    pub key: &'a str,
    /// Where the tensor was when it was saved.
    pub device: &'a str,
    pub elements: u64,
}

/// A strided view of a storage; all numbers count elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub storage: usize,
    pub offset: i64,
    pub sizes: Vec<i64>,
    pub strides: Vec<i64>,
}

impl Tensor {
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
        for (&size, &stride) in self.sizes.iter().zip(&self.strides) {
            let steps = u64::try_from(size).ok()? - 1;
            last = last.checked_add(steps.checked_mul(u64::try_from(stride).ok()?)?)?;
        }
        last.checked_add(1)
    }
}

/// What was counted while checking.
#[derive(Debug, Default)]
pub(super) struct TensorCount {
    pub tensors: usize,
    pub storage_bytes: u64,
    pub device_tensors: usize,
    pub dtypes: BTreeMap<String, usize>,
    unfolded_bytes: u64,
}

/// The pickle that is checked, and where its storages are.
pub(super) struct Place<'a> {
    /// The record of the pickle, `data.pkl`.
    pub record: &'a str,
    /// The folder of its storages, `data`.
    pub folder: &'a str,
    /// The records of the archive by their names below the root.
    pub records: &'a HashMap<&'a str, &'a Entry>,
    /// Bytes of the archive.
    pub file_bytes: u64,
}

impl TensorCount {
    /// Checks all storages and tensors of a pickle and counts them.
    pub(super) fn add(&mut self, pickle: &Pickle, place: &Place) -> Result<(), Rejection> {
        for (index, tensor) in pickle.tensors.iter().enumerate() {
            // The name is looked up only for an error: it takes a walk through the pickle.
            let name = || {
                pickle.path_of(index).map(|path| place.tensor_name(&path)).unwrap_or_else(|| place.record.to_owned())
            };
            self.add_tensor(tensor, &pickle.storages[tensor.storage], place).map_err(|fault| fault.of(&name()))?;
        }
        let mut keys = HashSet::new();
        for storage in &pickle.storages {
            if !keys.insert(storage.key) {
                return Err(Rejection::new(
                    Code::UnsafeArchive,
                    format!("`{}` loads the record `{}/{}` more than once", place.record, place.folder, storage.key),
                )
                .at(place.record));
            }
            self.add_storage(storage, place)?;
        }
        Ok(())
    }

    fn add_tensor(&mut self, tensor: &Tensor, storage: &Storage, place: &Place) -> Result<(), Fault> {
        let shape = || format!("sizes {:?}, strides {:?}, offset {}", tensor.sizes, tensor.strides, tensor.offset);
        let elements = tensor.elements();
        let reach = tensor.reach();
        let (Some(elements), Some(reach)) = (elements, reach) else {
            return Err(Fault::damaged(format!("has impossible dimensions: {}", shape())));
        };
        if reach > storage.elements {
            return Err(Fault::damaged(format!(
                "reaches element {reach} of a storage of {} ({})",
                storage.elements,
                shape()
            )));
        }
        check_dtype(storage.dtype, elements)?;
        let on_device = device_is_accelerator(storage.device)?;

        self.unfolded_bytes = self.unfolded_bytes.saturating_add(elements.saturating_mul(storage.dtype.bytes));
        let allowed = place.file_bytes.saturating_mul(UNFOLDED_FACTOR).saturating_add(UNFOLDED_ALLOWANCE);
        if self.unfolded_bytes > allowed {
            return Err(Fault {
                code: Code::UnsafeArchive,
                what: format!(
                    "makes the tensors unfold to {} bytes, more than {allowed}, from a file of {} ({})",
                    self.unfolded_bytes,
                    place.file_bytes,
                    shape()
                ),
                hint: None,
            });
        }
        self.tensors += 1;
        self.device_tensors += usize::from(on_device);
        *self.dtypes.entry(storage.dtype.name.to_owned()).or_default() += 1;
        Ok(())
    }

    fn add_storage(&mut self, storage: &Storage, place: &Place) -> Result<(), Rejection> {
        let record = format!("{}/{}", place.folder, storage.key);
        let damaged = |what: String| Rejection::new(Code::DamagedArchive, what).at(record.clone());
        let bytes = storage.elements.checked_mul(storage.dtype.bytes).ok_or_else(|| {
            damaged(format!("the storage `{record}` has {} elements, which is impossible", storage.elements))
        })?;
        match place.records.get(record.as_str()) {
            Some(entry) if entry.size == bytes => {}
            Some(entry) => {
                return Err(damaged(format!(
                    "the record `{record}` has {} bytes, but its {} elements of {} take {bytes}",
                    entry.size, storage.elements, storage.dtype.name
                )));
            }
            // An empty storage is never looked up.
            None if bytes == 0 => {}
            None => {
                return Err(damaged(format!("the record `{record}` with the elements of a tensor is missing")));
            }
        }
        self.storage_bytes += bytes;
        Ok(())
    }
}

impl Place<'_> {
    fn tensor_name(&self, path: &str) -> String {
        match self.folder {
            "constants" => format!("CONSTANTS.c{path}"),
            _ => path.to_owned(),
        }
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
        let rejection = Rejection::new(self.code, format!("the tensor `{name}` {}", self.what)).at(name);
        match self.hint {
            Some(hint) => rejection.hint(hint),
            None => rejection,
        }
    }
}

fn check_dtype(dtype: Dtype, elements: u64) -> Result<(), Fault> {
    let hint = match (dtype.support, dtype.name) {
        (Support::Yes, _) => return Ok(()),
        (Support::ScalarOnly, _) if elements <= 1 => return Ok(()),
        (_, name) if name.starts_with('q') => super::QUANTIZED_HINT,
        (_, name) if name.starts_with("complex") => "complex weights cannot be pruned",
        _ => "call `model.float()` before tracing or scripting the model",
    };
    Err(Fault {
        code: Code::UnsupportedDtype,
        what: format!(
            "is {}; weights must be float32, other tensors float32, bool, uint8 or int8 to int64",
            dtype.name
        ),
        hint: Some(hint),
    })
}

/// Whether the tensor was saved from an accelerator; it is loaded to the CPU either way.
fn device_is_accelerator(device: &str) -> Result<bool, Fault> {
    let (kind, index) = device.split_once(':').unwrap_or((device, "0"));
    let known_index = index.len() <= 3 && index.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        "cpu" if known_index => Ok(false),
        "cuda" | "mps" | "xpu" if known_index => Ok(true),
        _ => Err(Fault {
            code: Code::UnsupportedDtype,
            what: format!("was saved on the device `{}`", device.escape_debug()),
            hint: Some("call `model.cpu()` before saving the model"),
        }),
    }
}
