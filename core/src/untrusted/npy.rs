//! The header of an `.npy` file: element type, order and shape, written as a Python dictionary.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The parser reads what NumPy writes,
//! a dictionary with exactly the three keys; it evaluates nothing.

use std::io::Read;

use crate::plain_text::quoted;

const MAGIC: &[u8] = b"\x93NUMPY";
const LONGEST_HEADER: u32 = 65_536;

/// The type of the numbers in an array, as NumPy's type code has it; NumPy knows no bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NpyType {
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
    F32,
    F64,
}

impl NpyType {
    /// The type of a code without its byte order, `f4`, and the bytes of one number.
    fn of_code(code: &str) -> Option<(Self, usize)> {
        Some(match code {
            "b1" => (Self::Bool, 1),
            "u1" => (Self::U8, 1),
            "u2" => (Self::U16, 2),
            "u4" => (Self::U32, 4),
            "u8" => (Self::U64, 8),
            "i1" => (Self::I8, 1),
            "i2" => (Self::I16, 2),
            "i4" => (Self::I32, 4),
            "i8" => (Self::I64, 8),
            "f2" => (Self::F16, 2),
            "f4" => (Self::F32, 4),
            "f8" => (Self::F64, 8),
            _ => return None,
        })
    }
}

/// The header of an array: what its numbers are and how many.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    pub number: NpyType,
    pub shape: Vec<usize>,
    /// Bytes before the first element.
    pub bytes: u64,
}

/// Why the header was not read: what is wrong, and what to do where that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NpyError {
    pub what: String,
    pub hint: Option<String>,
}

impl NpyError {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    fn with_hint(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()) }
    }
}

/// Reads the header of an array up to its first number.
///
/// # Errors
///
/// Says what is wrong with the header, in words that follow the name of the array.
pub(crate) fn read_header(reader: &mut impl Read) -> Result<NpyHeader, NpyError> {
    let mut take = |count: usize| {
        let mut bytes = vec![0; count];
        match reader.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(NpyError::new(format!("has no whole `.npy` header: {error}"))),
        }
    };
    let start = take(8)?;
    if !start.starts_with(MAGIC) {
        return Err(NpyError::new("is not an `.npy` file"));
    }
    let length_bytes = match start[6..] {
        [1, 0] => 2,
        [2 | 3, 0] => 4,
        [major, minor] => {
            return Err(NpyError::new(format!(
                "has `.npy` version {major}.{minor}; versions 1.0, 2.0 and 3.0 are read"
            )));
        }
        _ => unreachable!("eight bytes were read"),
    };
    let mut length = [0; 4];
    length[..length_bytes].copy_from_slice(&take(length_bytes)?);
    let length = u32::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(NpyError::new(format!(
            "has an `.npy` header of {length} bytes; at most {LONGEST_HEADER} are read"
        )));
    }
    let text = String::from_utf8(take(length as usize)?)
        .map_err(|_| NpyError::new("has an `.npy` header that is not UTF-8"))?;
    let (number, shape) = parse(&text)?;
    Ok(NpyHeader { number, shape, bytes: 8 + length_bytes as u64 + u64::from(length) })
}

fn parse(text: &str) -> Result<(NpyType, Vec<usize>), NpyError> {
    let damaged = || NpyError::new(format!("has a damaged `.npy` header: {}", quoted(text.trim_end())));
    let mut literal = PythonLiteral { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    literal.eat("{").ok_or_else(damaged)?;
    while literal.eat("}").is_none() {
        let key = literal.text().ok_or_else(damaged)?;
        literal.eat(":").ok_or_else(damaged)?;
        let repeated = match key {
            "descr" if literal.next_is('[') => {
                return Err(NpyError::with_hint(
                    "is a structured array; an array of numbers is needed",
                    "Save each field as an array of its own.",
                ));
            }
            "descr" => descr.replace(literal.text().ok_or_else(damaged)?).is_some(),
            "fortran_order" => fortran_order.replace(literal.boolean().ok_or_else(damaged)?).is_some(),
            "shape" => shape.replace(literal.shape().ok_or_else(damaged)?).is_some(),
            _ => true,
        };
        if repeated {
            return Err(damaged());
        }
        if literal.eat(",").is_none() && !literal.next_is('}') {
            return Err(damaged());
        }
    }
    match (literal.rest.trim().is_empty(), descr, fortran_order, shape) {
        (true, Some(descr), Some(false), Some(shape)) => Ok((number_type(descr)?, shape)),
        (true, Some(_), Some(true), Some(_)) => Err(NpyError::with_hint(
            "is stored in Fortran order; C order is needed",
            "Save `np.ascontiguousarray(array)`.",
        )),
        _ => Err(damaged()),
    }
}

fn number_type(descr: &str) -> Result<NpyType, NpyError> {
    let (order, code) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), code)) => (order, code),
        _ => ("|", descr),
    };
    if code.starts_with('O') {
        return Err(NpyError::with_hint(
            "holds Python objects (a pickle), which are never read",
            "Give the array a numeric type; an array of objects often comes from samples of different shapes.",
        ));
    }
    let Some((number, bytes)) = NpyType::of_code(code) else {
        return Err(NpyError::new(format!(
            "has elements of type {}; numbers are needed: `b1`, `u1` to `u8`, `i1` to `i8` and `f2` to `f8` are read",
            quoted(descr)
        )));
    };
    if order == ">" {
        return Err(NpyError::with_hint(
            "is stored in big-endian byte order; little-endian is needed",
            "Save `array.astype(array.dtype.newbyteorder('<'))`.",
        ));
    }
    if order == "|" && bytes > 1 {
        return Err(NpyError::new(format!(
            "has numbers of type {} without a byte order; `<` must stand before it",
            quoted(descr)
        )));
    }
    Ok(number)
}

/// The unread rest of a Python literal.
struct PythonLiteral<'a> {
    rest: &'a str,
}

impl<'a> PythonLiteral<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn next_is(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        self.rest.starts_with(wanted)
    }

    fn eat(&mut self, wanted: &str) -> Option<()> {
        self.skip_spaces();
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        self.eat("'")?;
        let (text, rest) = self.rest.split_once('\'')?;
        self.rest = rest;
        (!text.contains('\\')).then_some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.eat("True").is_some() {
            return Some(true);
        }
        self.eat("False").map(|()| false)
    }

    /// `()`, `(3,)` or `(3, 4)`; Python 2 wrote `3L`.
    fn shape(&mut self) -> Option<Vec<usize>> {
        self.eat("(")?;
        let mut sizes = Vec::new();
        while self.eat(")").is_none() {
            self.skip_spaces();
            let digits = self.rest.find(|c: char| !c.is_ascii_digit())?;
            let (size, rest) = self.rest.split_at(digits);
            sizes.push(size.parse().ok()?);
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if self.eat(",").is_none() && !self.next_is(')') {
                return None;
            }
        }
        Some(sizes)
    }
}
