//! How a pickle describes a tensor: a strided view of a storage, whose elements lie in a record of their own.
//!
//! The numbers are the file's own words. Whether the record exists and the view lies inside it is for the caller to check.

use super::packed::Packed;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageType {
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

impl StorageType {
    /// The element type of `torch.FloatStorage` and its like.
    pub(crate) fn of_storage(storage: &str) -> Option<Self> {
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

    /// PyTorch's name of the type, `float32`.
    pub(crate) fn name(self) -> &'static str {
        self.name_and_bytes().0
    }

    /// The bytes of one element.
    pub(crate) fn bytes(self) -> u64 {
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
pub(crate) struct Storage {
    pub dtype: StorageType,
    /// Whether it was on a GPU or the like when it was saved; it is loaded to the CPU either way.
    pub on_accelerator: bool,
    pub elements: Packed<u64>,
}

/// A strided view of a storage; all numbers count elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'a> {
    pub storage: Storage,
    pub offset: i64,
    pub sizes: &'a [i64],
    pub strides: &'a [i64],
}

impl Tensor<'_> {
    /// Elements of the tensor, those that repeat counted each time. `None` when a size is negative or the product overflows.
    pub(crate) fn elements(&self) -> Option<u64> {
        self.sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(u64::try_from(size).ok()?))
    }

    /// Elements of the storage up to the last one that the tensor reaches. `None` when a number is negative or too large.
    pub(crate) fn reach(&self) -> Option<u64> {
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

    /// Sizes, strides and offset for a message.
    pub(crate) fn shape(&self) -> String {
        format!("sizes {:?}, strides {:?}, offset {}", self.sizes, self.strides, self.offset)
    }
}

/// Whether a device is an accelerator, from its name such as `cuda:0`. `None` when the device is unknown.
pub(super) fn is_accelerator(device: &str) -> Option<bool> {
    let (kind, index) = device.split_once(':').unwrap_or((device, "0"));
    let known_index = index.len() <= 3 && index.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        "cpu" if known_index => Some(false),
        "cuda" | "mps" | "xpu" if known_index => Some(true),
        _ => None,
    }
}
