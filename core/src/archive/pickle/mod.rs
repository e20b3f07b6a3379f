//! A bounded reader of the pickles in a TorchScript archive.
//!
//! It reads what PyTorch's C++ serializer writes and nothing else: protocol 2, about thirty opcodes, a fixed list of
//! names, memo entries in order. Values are built bottom up (a list is complete before it is memoised), so they cannot
//! contain themselves; a memo entry is shared, never copied, and the size that a value would have without sharing is
//! bounded, so nothing behind this reader meets a memo bomb.
//! The pickle is read as a stream and no value is kept: [`value`] summarises them, [`stack`] holds the few that an opcode can
//! still reach, and a [`Witness`] is told of classes, storages and tensors when they come up. What grows with the pickle is
//! the memo, by sixteen bytes an entry, and the [`text`]s that are short enough to be names; both are limited.

mod global;
mod input;
mod stack;
mod text;
mod value;

use std::io::{self, BufRead};

pub(super) use self::stack::Step;
pub(super) use self::value::{Keys, Kind, Packed, Value};

use self::input::Input;
use self::stack::{MAX_DIMENSIONS, Stack, StackFault};
use self::text::{LONGEST_KEPT, Texts, name_fault};
use self::value::{Content, Excess};
use super::name::{escaped, quoted};
use super::tensor::{Storage, Tensor};
use crate::rejection::{Code, Rejection};

/// Opcodes in all pickles of an archive; a network takes about thirty for each tensor.
pub(super) const MAX_OPERATIONS: u64 = 8_000_000;
/// How deep values may contain each other.
pub(super) const MAX_DEPTH: u8 = 200;
/// Values in one pickle if none were shared.
const MAX_UNSHARED_VALUES: u32 = 20_000_000;
/// Entries of the memo: every text that occurs, and every value that occurs twice.
pub(super) const MAX_MEMO: usize = 1 << 20;

/// What a caller wants to know of a pickle while it is read.
pub(super) trait Witness {
    /// A class of the archive's own code is named, `__torch__.module` and `Class`.
    fn class(&mut self, _module: &str, _name: &str) -> Result<(), Rejection> {
        Ok(())
    }

    /// A storage is described, whose elements are in the record `key` of the tensor folder.
    fn storage(&mut self, _storage: &Storage, _key: &str) -> Result<(), Rejection> {
        Ok(())
    }

    fn tensor(&mut self, _tensor: &Tensor, _place: &Place) -> Result<(), Rejection> {
        Ok(())
    }

    /// A list is filled. Long lists are passed over.
    fn list(&mut self, _items: &[Value], _place: &Place) {}
}

/// Where in the pickle a value belongs that is not there yet.
pub(super) struct Place<'a> {
    record: &'a str,
    stack: &'a Stack,
    texts: &'a Texts,
}

impl Place<'_> {
    pub(super) fn path(&self) -> Vec<Step> {
        self.stack.path()
    }

    pub(super) fn text(&self, step: &Step) -> Option<&str> {
        match step {
            Step::Key(id) => Some(self.texts.get(*id)),
            Step::Index(_) => None,
        }
    }

    /// The name that users know: `layer1.0.weight` in the module, `CONSTANTS.c0` in the constants, or else the record.
    pub(super) fn name(&self) -> String {
        self.name_of(&self.path())
    }

    fn name_of(&self, path: &[Step]) -> String {
        let parts = path.iter().map(|step| match step {
            Step::Key(id) => escaped(self.texts.get(*id)),
            Step::Index(index) => index.to_string(),
        });
        let dotted = parts.collect::<Vec<_>>().join(".");
        match self.record {
            record if dotted.is_empty() => record.to_owned(),
            "constants.pkl" => format!("CONSTANTS.c{dotted}"),
            _ => dotted,
        }
    }
}

/// Reads the pickle of the record `name` to its end and returns its root. `operations` are those that are left.
pub(super) fn read(
    source: impl BufRead,
    name: &str,
    operations: &mut u64,
    witness: &mut impl Witness,
) -> Result<Kind, Rejection> {
    let reader = Reader {
        input: Input::new(source),
        record: name,
        operations,
        witness,
        stack: Stack::new(),
        memo: Vec::new(),
        texts: Texts::default(),
        scratch: Vec::new(),
        tensors: 0,
    };
    reader.run()
}

/// The pickle machine.
struct Reader<'a, R, W> {
    input: Input<R>,
    record: &'a str,
    operations: &'a mut u64,
    witness: &'a mut W,
    stack: Stack,
    memo: Vec<Value>,
    texts: Texts,
    /// The text that is being read.
    scratch: Vec<u8>,
    tensors: u32,
}

impl<R: BufRead, W: Witness> Reader<'_, R, W> {
    fn run(mut self) -> Result<Kind, Rejection> {
        let start = self.input.array::<2>();
        if !matches!(start, Ok([0x80, 0x02])) {
            return Err(self.damaged("does not start as a pickle of protocol 2"));
        }
        loop {
            *self.operations = self.operations.checked_sub(1).ok_or_else(|| {
                self.refused(format!("makes the pickles of the archive have more than {MAX_OPERATIONS} operations"))
            })?;
            let opcode = self.input.byte();
            match self.take(opcode)? {
                b'.' => return self.finish(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn finish(mut self) -> Result<Kind, Rejection> {
        let is_at_end = self.input.is_at_end();
        if !self.take(is_at_end)? {
            return Err(self.damaged("goes on after its end"));
        }
        let root = self.stack.only_value().ok_or_else(|| self.damaged("leaves more or less than one value"))?;
        Ok(root.kind)
    }

    fn step(&mut self, opcode: u8) -> Result<(), Rejection> {
        match opcode {
            b'(' => {
                let marked = self.stack.mark();
                self.carried_out(marked)?;
            }
            b'N' | 0x88 | 0x89 => self.push(Kind::Opaque),
            b'K' => self.push_integer(|[byte]: [u8; 1]| byte.into())?,
            b'M' => self.push_integer(|bytes| u16::from_le_bytes(bytes).into())?,
            b'J' => self.push_integer(|bytes| i32::from_le_bytes(bytes).into())?,
            0x8a => self.push_long()?,
            b'G' => {
                let float = self.input.array::<8>();
                self.take(float)?;
                self.push(Kind::Opaque);
            }
            b'X' => self.push_text()?,
            b']' => self.push(Kind::List { frozen: false }),
            b'}' => self.push(Kind::Dict { frozen: false, keys: Keys::Names }),
            b')' => self.push_tuple(0)?,
            0x85..=0x87 => self.push_tuple(usize::from(opcode - 0x84))?,
            b't' => {
                let made = self.stack.tuple_to_mark();
                self.carried_out(made)?;
            }
            b'a' => {
                let item: [Value; 1] = self.pop()?;
                self.append(&Content::of(&item))?;
            }
            b'e' => {
                if let Some(items) = self.stack.marked() {
                    let place = Place { record: self.record, stack: &self.stack, texts: &self.texts };
                    self.witness.list(items, &place);
                }
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items: [Value; 2] = self.pop()?;
                self.set_items(&Content::of(&items))?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let index = self.input.byte();
                let index = self.take(index)?;
                self.memoise(index.into())?;
            }
            b'r' => {
                let index = self.input.array();
                let index = self.take(index)?;
                self.memoise(u32::from_le_bytes(index))?;
            }
            b'h' => {
                let index = self.input.byte();
                let index = self.take(index)?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = self.input.array();
                let index = self.take(index)?;
                self.recall(u32::from_le_bytes(index))?;
            }
            b'c' => self.push_global()?,
            0x81 => self.new_object()?,
            b'b' => self.build()?,
            b'R' => self.reduce()?,
            b'Q' => self.persistent_id()?,
            other => {
                return Err(self.refused(format!(
                    "has the pickle opcode {other:#04x}, which TorchScript's serializer never writes"
                )));
            }
        }
        Ok(())
    }

    // Values onto the stack and off it.

    fn push(&mut self, kind: Kind) {
        self.stack.push(Value::leaf(kind));
    }

    fn push_integer<const LENGTH: usize>(&mut self, value: impl Fn([u8; LENGTH]) -> i64) -> Result<(), Rejection> {
        let bytes = self.input.array();
        let integer = value(self.take(bytes)?);
        self.push(Kind::Integer(Packed(integer)));
        Ok(())
    }

    /// A little-endian two's complement integer of at most eight bytes.
    fn push_long(&mut self) -> Result<(), Rejection> {
        let length = self.input.byte();
        let length = usize::from(self.take(length)?);
        let mut bytes = [0; 8];
        let Some(read) = bytes.get_mut(..length) else {
            return Err(self.refused(format!("has an integer of {length} bytes, at most 8 are read")));
        };
        let filled = self.input.fill(read);
        let is_negative = read.last().is_some_and(|&byte| byte >= 0x80);
        self.take(filled)?;
        if is_negative {
            bytes[length..].fill(0xff);
        }
        self.push(Kind::Integer(Packed(i64::from_le_bytes(bytes))));
        Ok(())
    }

    fn push_text(&mut self) -> Result<(), Rejection> {
        let length = self.input.array();
        let length = u32::from_le_bytes(self.take(length)?);
        if length as usize > LONGEST_KEPT {
            let is_utf8 = self.input.skip_text(length);
            if !self.take(is_utf8)? {
                return Err(self.damaged("has a text that is not UTF-8"));
            }
            self.push(Kind::LongText);
            return Ok(());
        }
        self.scratch.resize(length as usize, 0);
        let filled = self.input.fill(&mut self.scratch);
        self.take(filled)?;
        let text = std::str::from_utf8(&self.scratch).map_err(|_| self.damaged("has a text that is not UTF-8"))?;
        let kept = self.texts.keep(text).ok_or_else(|| {
            self.refused(format!("has more than {} bytes of texts of up to {LONGEST_KEPT} bytes", text::MAX_KEPT))
        })?;
        self.push(Kind::Text(kept));
        Ok(())
    }

    fn push_tuple(&mut self, length: usize) -> Result<(), Rejection> {
        let made = self.stack.tuple(length);
        self.carried_out(made)
    }

    fn pop<const COUNT: usize>(&mut self) -> Result<[Value; COUNT], Rejection> {
        let popped = self.stack.pop();
        self.carried_out(popped)
    }

    fn pop_to_mark(&mut self) -> Result<Content, Rejection> {
        let popped = self.stack.pop_to_mark();
        self.carried_out(popped)
    }

    // Containers, which change only until the memo holds them.

    fn append(&mut self, items: &Content) -> Result<(), Rejection> {
        match self.stack.top() {
            Ok(Value { kind: Kind::List { frozen: true }, .. }) => Err(self.in_use()),
            Ok(list @ Value { kind: Kind::List { .. }, .. }) => {
                let grown = list.grow(items).map_err(StackFault::from);
                self.carried_out(grown)
            }
            Ok(_) => Err(self.damaged("appends to something that is no list")),
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn set_items(&mut self, items: &Content) -> Result<(), Rejection> {
        match self.stack.top() {
            Ok(Value { kind: Kind::Dict { frozen: true, .. }, .. }) => Err(self.in_use()),
            Ok(dict) => {
                let grown = dict.grow(items).map_err(StackFault::from);
                match &mut dict.kind {
                    Kind::Dict { keys, .. } if items.count.is_multiple_of(2) => *keys = keys.and(items.keys),
                    _ => return Err(self.damaged("sets items of something that is no dictionary")),
                }
                self.carried_out(grown)
            }
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn new_object(&mut self) -> Result<(), Rejection> {
        let [class, arguments] = self.pop()?;
        let is_class = class.kind == Kind::Global(global::Global::Class);
        let no_arguments = self.stack.items(&arguments).is_some_and(<[Value]>::is_empty);
        self.stack.release(&arguments);
        if !is_class || !no_arguments {
            return Err(self.refused("makes an object of something that is no TorchScript class"));
        }
        self.push(Kind::Object { frozen: false, built: false });
        Ok(())
    }

    fn build(&mut self) -> Result<(), Rejection> {
        let [attributes] = self.pop()?;
        let Kind::Dict { keys, .. } = attributes.kind else {
            return Err(self
                .refused("gives an object a state that is no dictionary, which only `__setstate__` reads")
                .hint("remove `__getstate__`, `__setstate__` and `torch.jit.export` of them from the module"));
        };
        match keys {
            Keys::Names => {}
            Keys::NoName(id) => {
                let name = self.texts.get(id);
                let fault = name_fault(name).unwrap_or_default();
                return Err(self.refused(format!("has an attribute whose name {} {fault}", quoted(name))));
            }
            Keys::NoText => return Err(self.damaged("has an attribute whose name is no text")),
        }
        match self.stack.top() {
            Ok(Value { kind: Kind::Object { frozen: true, .. }, .. }) => Err(self.in_use()),
            Ok(object @ Value { kind: Kind::Object { built: false, .. }, .. }) => {
                object.kind = Kind::Object { frozen: false, built: true };
                let grown = object.grow(&Content::of(&[attributes])).map_err(StackFault::from);
                self.carried_out(grown)
            }
            Ok(_) => Err(self.damaged("sets the attributes of something that is no new object")),
            Err(fault) => Err(self.fault(fault)),
        }
    }

    // The memo.

    fn memoise(&mut self, index: u32) -> Result<(), Rejection> {
        if index as usize != self.memo.len() {
            return Err(self.refused(format!("writes memo entry {index} where {} is next", self.memo.len())));
        }
        if self.memo.len() == MAX_MEMO {
            return Err(self.refused(format!("has more than {MAX_MEMO} memo entries")));
        }
        match self.stack.top() {
            Ok(top) => {
                top.freeze();
                let mut entry = *top;
                entry.forget_items();
                self.memo.push(entry);
                Ok(())
            }
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn recall(&mut self, index: u32) -> Result<(), Rejection> {
        let entry = self.memo.get(index as usize).copied();
        let entry = entry.ok_or_else(|| self.damaged(format!("reads memo entry {index}, which is not written")))?;
        self.stack.push(entry);
        Ok(())
    }

    // Errors.

    /// The result of reading, or the reason why there was nothing to read.
    fn take<T>(&self, read: io::Result<T>) -> Result<T, Rejection> {
        read.map_err(|error| {
            if input::is_cut_off(&error) {
                self.damaged("is cut off")
            } else {
                self.damaged(format!("could not be read: {error}"))
            }
        })
    }

    fn carried_out<T>(&self, done: Result<T, StackFault>) -> Result<T, Rejection> {
        done.map_err(|fault| self.fault(fault))
    }

    fn fault(&self, fault: StackFault) -> Rejection {
        match fault {
            StackFault::Empty => self.damaged("takes a value from an empty stack"),
            StackFault::NoMark => self.damaged("has no mark where one is needed"),
            StackFault::TooManyMarks => self.refused("opens more containers at once than are read"),
            StackFault::Excess(Excess::UnsharedValues) => self.refused(format!(
                "unfolds to more than {MAX_UNSHARED_VALUES} values: it refers to the same values again and again"
            )),
            StackFault::Excess(Excess::Depth) => self.refused(format!("nests values more than {MAX_DEPTH} deep")),
        }
    }

    fn in_use(&self) -> Rejection {
        self.refused("changes a value that is already in use elsewhere")
    }

    fn rejection(&self, code: Code, what: impl std::fmt::Display) -> Rejection {
        Rejection::new(code, format!("`{}` {what}", self.record)).at(self.record)
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Rejection {
        self.rejection(Code::DamagedArchive, format!("{what} (before byte {})", self.input.position()))
    }

    fn refused(&self, what: impl std::fmt::Display) -> Rejection {
        self.rejection(Code::UnsafeArchive, format!("{what} (before byte {})", self.input.position()))
    }
}
