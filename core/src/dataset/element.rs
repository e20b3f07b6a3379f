//! Element types of arrays: their names, sizes and conversion to samples and labels.

use half::{bf16, f16};
use safetensors::Dtype;

/// The type of an array's elements, little-endian in every file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
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
        elements.iter().for_each(|&element| $use(<$type>::from_le_bytes(element)))
    }};
}

impl Element {
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

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether samples may have this type: bytes as they are, floats as float32.
    pub(super) fn is_sample(self) -> bool {
        self == Self::U8 || self.is_float()
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// The type code of an `.npy` header without its byte order, `f4`.
    pub(super) fn of_npy(code: &str) -> Option<Self> {
        Some(match code {
            "b1" => Self::Bool,
            "u1" => Self::U8,
            "u2" => Self::U16,
            "u4" => Self::U32,
            "u8" => Self::U64,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::U16 => Self::U16,
            Dtype::U32 => Self::U32,
            Dtype::U64 => Self::U64,
            Dtype::I8 => Self::I8,
            Dtype::I16 => Self::I16,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
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
            other => unreachable!("samples of type {} are refused when the data set is opened", other.name()),
        }
    }

    /// Elements as labels; an element that is none, negative, fractional or too large, is given as its text.
    pub(super) fn for_each_label(self, bytes: &[u8], mut use_label: impl FnMut(Result<i64, String>)) {
        macro_rules! integers {
            ($type:ty) => {
                for_each_element!(bytes, $type, |value: $type| use_label(match i64::try_from(value) {
                    Ok(label) if label >= 0 => Ok(label),
                    _ => Err(value.to_string()),
                }))
            };
        }
        let mut use_float = |value: f64| {
            let is_label = value >= 0.0 && value.fract() == 0.0 && value < 9e15;
            use_label(if is_label { Ok(value as i64) } else { Err(value.to_string()) });
        };
        match self {
            Self::Bool | Self::U8 => integers!(u8),
            Self::U16 => integers!(u16),
            Self::U32 => integers!(u32),
            Self::U64 => integers!(u64),
            Self::I8 => integers!(i8),
            Self::I16 => integers!(i16),
            Self::I32 => integers!(i32),
            Self::I64 => integers!(i64),
            Self::F16 | Self::BF16 | Self::F32 => self.for_each_float(bytes, |value| use_float(value.into())),
            Self::F64 => for_each_element!(bytes, f64, use_float),
        }
    }
}
