//! The texts of a pickle that may be asked for later, one behind the other.

use super::packed::Packed;
use crate::plain_text::hidden_character;

/// Bytes of a text that is kept; no type is longer, and no name.
pub(super) const LONGEST_KEPT: usize = 8_192;
/// Bytes of all texts that are kept; a vocabulary of 400 000 words has four million.
pub(super) const MAX_KEPT: usize = 8 << 20;
/// Bytes of the name of an attribute.
pub(super) const LONGEST_NAME: usize = 1_024;
/// Brackets in the name of a type; PyTorch parses it, and calls itself for each.
const MAX_TYPE_DEPTH: usize = 64;

/// A text by its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TextId {
    start: Packed<u32>,
    length: Packed<u16>,
}

/// A text that was kept, with what it may be used for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Text {
    pub id: TextId,
    /// Whether an attribute may be called so.
    pub is_name: bool,
    /// Whether PyTorch may parse it as a type.
    pub is_type: bool,
}

/// All texts that were kept, in one allocation.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
}

impl Texts {
    /// Keeps a text of at most [`LONGEST_KEPT`] bytes. `None` when there are too many.
    pub(super) fn keep(&mut self, text: &str) -> Option<Text> {
        debug_assert!(text.len() <= LONGEST_KEPT);
        if self.all.len() + text.len() > MAX_KEPT {
            return None;
        }
        let id = TextId { start: Packed(self.all.len() as u32), length: Packed(text.len() as u16) };
        self.all.push_str(text);
        Some(Text { id, is_name: name_fault(text).is_none(), is_type: type_fault(text).is_none() })
    }

    /// The text at a place.
    pub(super) fn get(&self, id: TextId) -> &str {
        let start = id.start.0 as usize;
        &self.all[start..start + usize::from(id.length.0)]
    }
}

/// Why an attribute may not be called so. A dot would make `a.b` and `a` of `b` one name.
pub(super) fn name_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty".to_owned());
    }
    if text.len() > LONGEST_NAME {
        return Some(format!("has {} bytes; at most {LONGEST_NAME} are allowed", text.len()));
    }
    if let Some(character) = hidden_character(text) {
        return Some(format!("has the character U+{:04X}, which is not shown", u32::from(character)));
    }
    text.contains('.').then(|| "has a dot".to_owned())
}

/// What is wrong with the name of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeFault {
    Nesting,
    CustomClass,
}

/// Why a text may not be parsed as the name of a type.
pub(super) fn type_fault(text: &str) -> Option<TypeFault> {
    let mut depth = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'(' => depth += 1,
            b']' | b')' => depth -= 1,
            _ => {}
        }
        if depth > MAX_TYPE_DEPTH as isize {
            return Some(TypeFault::Nesting);
        }
    }
    text.contains("torch.classes").then_some(TypeFault::CustomClass)
}
