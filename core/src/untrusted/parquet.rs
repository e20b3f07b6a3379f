//! The footer of a Parquet file: how many rows and which columns it has, and what Hugging Face's `datasets` noted of them.
//!
//! The footer is a Thrift structure in the compact protocol. Only the fields that are wanted become values; the rest, statistics
//! of row groups above all, is stepped over. Nothing is reserved for what a count claims, and nesting is bounded.

/// The magic bytes at both ends of a file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes behind the footer: its length and the magic.
pub(crate) const TAIL: u64 = 8;

const DEEPEST: usize = 32;
const MOST_COLUMNS: usize = 10_000;

/// What a footer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub rows: u64,
    /// The columns of values, in the order of the file.
    pub columns: Vec<Column>,
    /// The text that `datasets` writes under the key `huggingface`, which is JSON.
    pub huggingface: Option<String>,
}

/// A column of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// From the top: `["image", "bytes"]`, `["input_ids", "list", "element"]`.
    pub path: Vec<String>,
    pub kind: Kind,
}

/// The physical type of a column, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Bytes,
    Other,
}

struct SchemaElement {
    kind: Option<i64>,
    name: String,
    children: usize,
}

/// Reads a footer; `None` when it is damaged.
pub(crate) fn read_footer(bytes: &[u8]) -> Option<Footer> {
    let mut thrift = Thrift { bytes, position: 0 };
    let mut footer = Footer::default();
    let mut schema = Vec::new();
    let mut rows = None;
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (2, Thrift::LIST) => {
                let (count, element) = thrift.list()?;
                for _ in 0..count {
                    if element != Thrift::STRUCT || schema.len() >= MOST_COLUMNS {
                        return None;
                    }
                    schema.push(thrift.schema_element()?);
                }
            }
            (3, Thrift::I64) => rows = Some(u64::try_from(thrift.integer()?).ok()?),
            (5, Thrift::LIST) => {
                let (count, element) = thrift.list()?;
                for _ in 0..count {
                    if element != Thrift::STRUCT {
                        return None;
                    }
                    let (key, value) = thrift.key_value()?;
                    if key == b"huggingface" {
                        footer.huggingface = Some(std::str::from_utf8(value).ok()?.to_owned());
                    }
                }
            }
            (_, other) => thrift.pass(other, DEEPEST)?,
        }
        Some(())
    })?;
    footer.rows = rows?;
    footer.columns = columns(&schema)?;
    Some(footer)
}

/// The paths of the leaves of a tree that is written parent first.
fn columns(schema: &[SchemaElement]) -> Option<Vec<Column>> {
    let mut columns = Vec::new();
    // For each open parent its name and how many children are left.
    let mut open: Vec<(&str, usize)> = Vec::new();
    let (root, rest) = schema.split_first()?;
    let mut left_at_root = root.children;
    for element in rest {
        while open.last().is_some_and(|(_, left)| *left == 0) {
            open.pop();
        }
        match open.last_mut() {
            Some((_, left)) => *left -= 1,
            None => left_at_root = left_at_root.checked_sub(1)?,
        }
        if element.children > 0 {
            if open.len() >= DEEPEST {
                return None;
            }
            open.push((&element.name, element.children));
        } else {
            let parents = open.iter().map(|(name, _)| (*name).to_owned());
            let kind = match element.kind {
                Some(1 | 2) => Kind::Integer,
                Some(6) => Kind::Bytes,
                _ => Kind::Other,
            };
            columns.push(Column { path: parents.chain([element.name.clone()]).collect(), kind });
        }
    }
    Some(columns)
}

/// A reader of the compact protocol; every read past the end is `None`.
struct Thrift<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Thrift<'a> {
    const BYTE: u8 = 3;
    const I16: u8 = 4;
    const I32: u8 = 5;
    const I64: u8 = 6;
    const DOUBLE: u8 = 7;
    const BINARY: u8 = 8;
    const LIST: u8 = 9;
    const SET: u8 = 10;
    const MAP: u8 = 11;
    const STRUCT: u8 = 12;

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(count)?;
        let taken = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(taken)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let raw = self.unsigned()?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.binary()?).ok()?.to_owned())
    }

    /// How many elements follow and of which type. Every element has a byte at least but for structures, which end with one.
    fn list(&mut self) -> Option<(usize, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
        let count = usize::try_from(count).ok()?;
        (count <= self.bytes.len() - self.position).then_some((count, head & 15))
    }

    /// Calls `read` with the number and type of each field; it has to read or pass over the value.
    fn fields(&mut self, mut read: impl FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut id: i64 = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = if head >> 4 == 0 { self.integer()? } else { id.checked_add(i64::from(head >> 4))? };
            read(self, id, head & 15)?;
        }
    }

    /// Passes over a value; the value of a Boolean field stands in its head.
    fn pass(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => {}
            Self::BYTE => drop(self.byte()?),
            Self::I16 | Self::I32 | Self::I64 => drop(self.unsigned()?),
            Self::DOUBLE => drop(self.take(8)?),
            Self::BINARY => drop(self.binary()?),
            Self::LIST | Self::SET => {
                let (count, element) = self.list()?;
                for _ in 0..count {
                    self.pass_element(element, depth)?;
                }
            }
            Self::MAP => {
                let count = self.unsigned()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..count {
                        self.pass_element(kinds >> 4, depth)?;
                        self.pass_element(kinds & 15, depth)?;
                    }
                }
            }
            Self::STRUCT => self.fields(|thrift, _, kind| thrift.pass(kind, depth))?,
            _ => return None,
        }
        Some(())
    }

    /// Booleans in a list have a byte each.
    fn pass_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, 1 | 2) { self.byte().map(drop) } else { self.pass(kind, depth) }
    }

    fn schema_element(&mut self) -> Option<SchemaElement> {
        let mut element = SchemaElement { kind: None, name: String::new(), children: 0 };
        self.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Self::I32) => element.kind = Some(thrift.integer()?),
                (4, Self::BINARY) => element.name = thrift.text()?,
                (5, Self::I32) => element.children = usize::try_from(thrift.integer()?).ok()?,
                (_, other) => thrift.pass(other, DEEPEST)?,
            }
            Some(())
        })?;
        Some(element)
    }

    fn key_value(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
        self.fields(|thrift, id, kind| {
            match (id, kind) {
                (1, Self::BINARY) => key = thrift.binary()?,
                (2, Self::BINARY) => value = thrift.binary()?,
                (_, other) => thrift.pass(other, DEEPEST)?,
            }
            Some(())
        })?;
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaves_of_a_schema_have_their_whole_paths() {
        let element = |name: &str, kind, children| SchemaElement { kind, name: name.to_owned(), children };
        let schema = [
            element("schema", None, 2),
            element("image", None, 2),
            element("bytes", Some(6), 0),
            element("path", Some(6), 0),
            element("label", Some(2), 0),
        ];
        let paths: Vec<String> = columns(&schema).unwrap().iter().map(|column| column.path.join(".")).collect();
        assert_eq!(paths, ["image.bytes", "image.path", "label"]);
        assert!(columns(&schema[..1]).unwrap().is_empty());
        assert!(columns(&[element("schema", None, 0), element("label", Some(2), 0)]).is_none());
    }

    #[test]
    fn lists_in_lists_end_at_a_depth() {
        let nested = [vec![0x19; 1000], vec![0]].concat();
        assert_eq!(read_footer(&nested), None);
    }
}
