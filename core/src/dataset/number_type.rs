//! The types of the numbers in arrays: their names, sizes and conversion to what is held in memory.

use half::{bf16, f16};
use safetensors::Dtype as SafetensorsType;

use crate::untrusted::npy::NpyType;

/// The type of an array's numbers, little-endian in every file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

/// Calls a closure with every element of some bytes, as its Rust type.
macro_rules! for_each_element {
    ($bytes:expr, $type:ty, $use:expr) => {{
        let (elements, rest) = $bytes.as_chunks();
        debug_assert!(rest.is_empty(), "arrays are read in whole elements");
        for &element in elements {
            $use(<$type>::from_le_bytes(element));
        }
    }};
}

impl NumberType {
    /// NumPy's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The name of the type in `.safetensors`.
    pub(super) fn safetensors_name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "U8",
            Self::U16 => "U16",
            Self::U32 => "U32",
            Self::U64 => "U64",
            Self::I8 => "I8",
            Self::I16 => "I16",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }

    /// The bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The bytes of one number in memory.
    pub(super) fn loaded_bytes(self) -> usize {
        match self {
            number if number.is_byte() => 1,
            number if number.is_float() => 4,
            _ => 8,
        }
    }

    /// Whether the numbers are integers; truth values count as 0 and 1.
    pub(super) fn is_integer(self) -> bool {
        !self.is_float()
    }

    /// Whether the numbers are kept as bytes.
    pub(super) fn is_byte(self) -> bool {
        matches!(self, Self::U8 | Self::Bool)
    }

    /// Whether the numbers are floats of any width.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// The type of the numbers in an `.npy` array.
    pub(super) fn of_npy(number: NpyType) -> Self {
        match number {
            NpyType::Bool => Self::Bool,
            NpyType::U8 => Self::U8,
            NpyType::U16 => Self::U16,
            NpyType::U32 => Self::U32,
            NpyType::U64 => Self::U64,
            NpyType::I8 => Self::I8,
            NpyType::I16 => Self::I16,
            NpyType::I32 => Self::I32,
            NpyType::I64 => Self::I64,
            NpyType::F16 => Self::F16,
            NpyType::F32 => Self::F32,
            NpyType::F64 => Self::F64,
        }
    }

    /// `None` for a type of which neither samples nor labels are made.
    pub(super) fn of_safetensors(number: SafetensorsType) -> Option<Self> {
        Some(match number {
            SafetensorsType::BOOL => Self::Bool,
            SafetensorsType::U8 => Self::U8,
            SafetensorsType::U16 => Self::U16,
            SafetensorsType::U32 => Self::U32,
            SafetensorsType::U64 => Self::U64,
            SafetensorsType::I8 => Self::I8,
            SafetensorsType::I16 => Self::I16,
            SafetensorsType::I32 => Self::I32,
            SafetensorsType::I64 => Self::I64,
            SafetensorsType::F16 => Self::F16,
            SafetensorsType::BF16 => Self::BF16,
            SafetensorsType::F32 => Self::F32,
            SafetensorsType::F64 => Self::F64,
            _ => return None,
        })
    }

    /// Elements of a float type as float32; a float64 beyond its range becomes infinite.
    pub(super) fn for_each_float(self, bytes: &[u8], mut use_float: impl FnMut(f32)) {
        match self {
            Self::F16 => for_each_element!(bytes, f16, |value: f16| use_float(value.to_f32())),
            Self::BF16 => for_each_element!(bytes, bf16, |value: bf16| use_float(value.to_f32())),
            Self::F32 => for_each_element!(bytes, f32, use_float),
            Self::F64 => for_each_element!(bytes, f64, |value: f64| use_float(value as f32)),
            other => unreachable!("{} is no float type", other.name()),
        }
    }

    /// Elements of an integer type as int64; a uint64 beyond its range is given as its text.
    pub(super) fn for_each_integer(self, bytes: &[u8], mut use_integer: impl FnMut(Result<i64, String>)) {
        macro_rules! integers {
            ($type:ty) => {
                for_each_element!(bytes, $type, |value: $type| use_integer(
                    i64::try_from(value).map_err(|_| value.to_string())
                ))
            };
        }
        match self {
            Self::Bool | Self::U8 => integers!(u8),
            Self::U16 => integers!(u16),
            Self::U32 => integers!(u32),
            Self::U64 => integers!(u64),
            Self::I8 => integers!(i8),
            Self::I16 => integers!(i16),
            Self::I32 => integers!(i32),
            Self::I64 => integers!(i64),
            Self::F16 | Self::BF16 | Self::F32 | Self::F64 => unreachable!("{} is no integer type", self.name()),
        }
    }
}
