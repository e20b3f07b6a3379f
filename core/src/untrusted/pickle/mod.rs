//! A bounded reader of the pickles that PyTorch writes for its modules.
//!
//! It reads what PyTorch's C++ serializer writes and nothing else: protocol 2, about thirty opcodes, a fixed list of
//! names, memo entries in order. Values are built bottom up (a list is complete before it is memoised), so they cannot
//! contain themselves; a memo entry is shared, never copied, and the size that a value would have without sharing is
//! bounded, so nothing behind this reader meets a memo bomb.
//! The pickle is read as a stream and no value is kept: [`value`] summarises them, [`stack`] holds the few that an opcode can
//! still reach, and a [`Witness`] is told of classes, storages and tensors when they come up. What grows with the pickle is
//! the memo, by sixteen bytes an entry, and the [`text`]s that are short enough to be names; both are limited.

mod call;
mod global;
mod names;
mod packed;
mod stack;
mod stream;
mod tensor;
mod text;
mod value;

use std::io::{self, BufRead};

pub(crate) use self::stack::Step;
pub(crate) use self::tensor::{Storage, StorageType, Tensor};
pub(crate) use self::value::{ValueKind, ValueSummary};

use self::global::Global;
use self::packed::Packed;
use self::stack::{StackFault, ValueStack};
use self::stream::PickleStream;
use self::text::{LONGEST_KEPT, Texts, name_fault};
use self::value::{Excess, Keys, Tally};
use crate::plain_text::{escaped, quoted};
use crate::rejection::{Code, Rejection};

/// Opcodes in all pickles of an archive; a network takes about thirty for each tensor.
pub(crate) const MAX_OPERATIONS: u64 = 8_000_000;
/// How deep values may contain each other.
pub(crate) const MAX_DEPTH: u8 = 200;
/// Values in one pickle if none were shared.
const MAX_UNSHARED_VALUES: u32 = 20_000_000;
/// Entries of the memo: every text that occurs, and every value that occurs twice.
pub(crate) const MAX_MEMO: usize = 1 << 20;

/// What a caller wants to know of a pickle while it is read.
pub(crate) trait Witness {
    /// A class of the archive's own code is named, `__torch__.module` and `Class`.
    fn class(&mut self, _module: &str, _name: &str) -> Result<(), Rejection> {
        Ok(())
    }

    /// A storage is described, whose elements are in the record `key` of the tensor folder.
    fn storage(&mut self, _storage: &Storage, _key: &str) -> Result<(), Rejection> {
        Ok(())
    }

    /// A tensor is described; `_place` is where it will be put.
    fn tensor(&mut self, _tensor: &Tensor, _place: &Destination) -> Result<(), Rejection> {
        Ok(())
    }

    /// A list is filled. Long lists are passed over.
    fn list(&mut self, _items: &[ValueSummary], _place: &Destination) {}
}

/// The name of a pickle, and how the values in it are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PickleName<'a> {
    /// The record that holds it, `data.pkl`.
    pub record: &'a str,
    /// What stands before the path of a value, such as the `CONSTANTS.c` of `CONSTANTS.c0`; mostly nothing.
    pub prefix: &'a str,
}

/// Where in the pickle a value belongs that is not there yet.
pub(crate) struct Destination<'a> {
    pickle: PickleName<'a>,
    stack: &'a ValueStack,
    texts: &'a Texts,
}

impl Destination<'_> {
    /// The steps from the root of the pickle to the value.
    pub(crate) fn path(&self) -> Vec<Step> {
        self.stack.path()
    }

    /// The key of a step into a dictionary or an object.
    pub(crate) fn text(&self, step: &Step) -> Option<&str> {
        match step {
            Step::Key(id) => Some(self.texts.get(*id)),
            Step::Index(_) => None,
        }
    }

    /// The name that users know: the path behind the prefix, `layer1.0.weight`, or for the root the record.
    pub(crate) fn name(&self) -> String {
        self.name_of(&self.path())
    }

    fn name_of(&self, path: &[Step]) -> String {
        let parts = path.iter().map(|step| match step {
            Step::Key(id) => escaped(self.texts.get(*id)),
            Step::Index(index) => index.to_string(),
        });
        let dotted = parts.collect::<Vec<_>>().join(".");
        if dotted.is_empty() { self.pickle.record.to_owned() } else { format!("{}{dotted}", self.pickle.prefix) }
    }
}

/// Reads a pickle to its end and returns its root. `operations` are those that are left.
pub(crate) fn read(
    source: impl BufRead,
    pickle: PickleName,
    operations: &mut u64,
    witness: &mut impl Witness,
) -> Result<ValueKind, Rejection> {
    let reader = Machine {
        stream: PickleStream::new(source),
        pickle,
        operations,
        witness,
        stack: ValueStack::new(),
        memo: Vec::new(),
        texts: Texts::default(),
        scratch: Vec::new(),
        tensors: 0,
    };
    reader.run()
}

/// The pickle machine.
struct Machine<'a, R, W> {
    stream: PickleStream<R>,
    pickle: PickleName<'a>,
    operations: &'a mut u64,
    witness: &'a mut W,
    stack: ValueStack,
    memo: Vec<ValueSummary>,
    texts: Texts,
    /// The text that is being read.
    scratch: Vec<u8>,
    tensors: u32,
}

impl<R: BufRead, W: Witness> Machine<'_, R, W> {
    fn run(mut self) -> Result<ValueKind, Rejection> {
        let start = self.stream.array::<2>();
        if !matches!(start, Ok([0x80, 0x02])) {
            return Err(self.damaged("does not start as a pickle of protocol 2"));
        }
        loop {
            *self.operations = self.operations.checked_sub(1).ok_or_else(|| {
                self.refused(format!("makes the pickles of the archive have more than {MAX_OPERATIONS} operations"))
            })?;
            let opcode = self.stream.byte();
            match self.take(opcode)? {
                b'.' => return self.finish(),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn finish(mut self) -> Result<ValueKind, Rejection> {
        let is_at_end = self.stream.is_at_end();
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
            b'N' | 0x88 | 0x89 => self.push(ValueKind::Opaque),
            b'K' => self.push_integer(|[byte]: [u8; 1]| byte.into())?,
            b'M' => self.push_integer(|bytes| u16::from_le_bytes(bytes).into())?,
            b'J' => self.push_integer(|bytes| i32::from_le_bytes(bytes).into())?,
            0x8a => self.push_long()?,
            b'G' => {
                let float = self.stream.array::<8>();
                self.take(float)?;
                self.push(ValueKind::Opaque);
            }
            b'X' => self.push_text()?,
            b']' => self.push(ValueKind::List { frozen: false }),
            b'}' => self.push(ValueKind::Dict { frozen: false, keys: Keys::Names }),
            b')' => self.push_tuple(0)?,
            0x85..=0x87 => self.push_tuple(usize::from(opcode - 0x84))?,
            b't' => {
                let made = self.stack.tuple_to_mark();
                self.carried_out(made)?;
            }
            b'a' => {
                let item: [ValueSummary; 1] = self.pop()?;
                self.append(&Tally::of(&item))?;
            }
            b'e' => {
                if let Some(items) = self.stack.marked() {
                    let place = Destination { pickle: self.pickle, stack: &self.stack, texts: &self.texts };
                    self.witness.list(items, &place);
                }
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items: [ValueSummary; 2] = self.pop()?;
                self.set_items(&Tally::of(&items))?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let index = self.stream.byte();
                let index = self.take(index)?;
                self.memoise(index.into())?;
            }
            b'r' => {
                let index = self.stream.array();
                let index = self.take(index)?;
                self.memoise(u32::from_le_bytes(index))?;
            }
            b'h' => {
                let index = self.stream.byte();
                let index = self.take(index)?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = self.stream.array();
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

    fn push(&mut self, kind: ValueKind) {
        self.stack.push(ValueSummary::leaf(kind));
    }

    fn push_integer<const LENGTH: usize>(&mut self, value: impl Fn([u8; LENGTH]) -> i64) -> Result<(), Rejection> {
        let bytes = self.stream.array();
        let integer = value(self.take(bytes)?);
        self.push(ValueKind::Integer(Packed(integer)));
        Ok(())
    }

    /// A little-endian two's complement integer of at most eight bytes.
    fn push_long(&mut self) -> Result<(), Rejection> {
        let length = self.stream.byte();
        let length = usize::from(self.take(length)?);
        let mut bytes = [0; 8];
        let Some(read) = bytes.get_mut(..length) else {
            return Err(self.refused(format!("has an integer of {length} bytes; at most 8 are read")));
        };
        let filled = self.stream.fill(read);
        let is_negative = read.last().is_some_and(|&byte| byte >= 0x80);
        self.take(filled)?;
        if is_negative {
            bytes[length..].fill(0xff);
        }
        self.push(ValueKind::Integer(Packed(i64::from_le_bytes(bytes))));
        Ok(())
    }

    fn push_text(&mut self) -> Result<(), Rejection> {
        let length = self.stream.array();
        let length = u32::from_le_bytes(self.take(length)?);
        if length as usize > LONGEST_KEPT {
            let is_utf8 = self.stream.skip_text(length);
            if !self.take(is_utf8)? {
                return Err(self.damaged("has a text that is not UTF-8"));
            }
            self.push(ValueKind::LongText);
            return Ok(());
        }
        self.scratch.resize(length as usize, 0);
        let filled = self.stream.fill(&mut self.scratch);
        self.take(filled)?;
        let text = std::str::from_utf8(&self.scratch).map_err(|_| self.damaged("has a text that is not UTF-8"))?;
        let kept = self.texts.keep(text).ok_or_else(|| {
            self.refused(format!("has more than {} bytes of texts of up to {LONGEST_KEPT} bytes", text::MAX_KEPT))
        })?;
        self.push(ValueKind::Text(kept));
        Ok(())
    }

    fn push_tuple(&mut self, length: usize) -> Result<(), Rejection> {
        let made = self.stack.tuple(length);
        self.carried_out(made)
    }

    fn pop<const COUNT: usize>(&mut self) -> Result<[ValueSummary; COUNT], Rejection> {
        let popped = self.stack.pop();
        self.carried_out(popped)
    }

    fn pop_to_mark(&mut self) -> Result<Tally, Rejection> {
        let popped = self.stack.pop_to_mark();
        self.carried_out(popped)
    }

    // Containers, which change only until the memo holds them.

    fn append(&mut self, items: &Tally) -> Result<(), Rejection> {
        match self.stack.top() {
            Ok(ValueSummary { kind: ValueKind::List { frozen: true }, .. }) => Err(self.in_use()),
            Ok(list @ ValueSummary { kind: ValueKind::List { .. }, .. }) => {
                let grown = list.grow(items).map_err(StackFault::from);
                self.carried_out(grown)
            }
            Ok(_) => Err(self.damaged("appends to something that is no list")),
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn set_items(&mut self, items: &Tally) -> Result<(), Rejection> {
        match self.stack.top() {
            Ok(ValueSummary { kind: ValueKind::Dict { frozen: true, .. }, .. }) => Err(self.in_use()),
            Ok(dict) => {
                let grown = dict.grow(items).map_err(StackFault::from);
                match &mut dict.kind {
                    ValueKind::Dict { keys, .. } if items.count.is_multiple_of(2) => *keys = keys.and(items.keys),
                    _ => return Err(self.damaged("sets items of something that is no dictionary")),
                }
                self.carried_out(grown)
            }
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn new_object(&mut self) -> Result<(), Rejection> {
        let [class, arguments] = self.pop()?;
        let is_class = class.kind == ValueKind::Global(Global::Class);
        let no_arguments = self.stack.items(&arguments).is_some_and(<[ValueSummary]>::is_empty);
        self.stack.release(&arguments);
        if !is_class || !no_arguments {
            return Err(self.refused("makes an object of something that is no TorchScript class"));
        }
        self.push(ValueKind::Object { frozen: false, built: false });
        Ok(())
    }

    fn build(&mut self) -> Result<(), Rejection> {
        let [attributes] = self.pop()?;
        let ValueKind::Dict { keys, .. } = attributes.kind else {
            return Err(self
                .refused("gives an object a state that is no dictionary, which only `__setstate__` reads")
                .hint("Remove `__getstate__`, `__setstate__` and `torch.jit.export` of them from the module."));
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
            Ok(ValueSummary { kind: ValueKind::Object { frozen: true, .. }, .. }) => Err(self.in_use()),
            Ok(object @ ValueSummary { kind: ValueKind::Object { built: false, .. }, .. }) => {
                object.kind = ValueKind::Object { frozen: false, built: true };
                let grown = object.grow(&Tally::of(&[attributes])).map_err(StackFault::from);
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
            if stream::is_cut_off(&error) {
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
        Rejection::new(code, format!("`{}` {what}.", self.pickle.record)).at(self.pickle.record)
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Rejection {
        self.rejection(Code::DamagedArchive, format!("{what} (before byte {})", self.stream.position()))
    }

    fn refused(&self, what: impl std::fmt::Display) -> Rejection {
        self.rejection(Code::UnsafeArchive, format!("{what} (before byte {})", self.stream.position()))
    }
}
