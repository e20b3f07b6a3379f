//! A bounded reader of the pickles in a TorchScript archive.
//!
//! It reads what PyTorch's C++ serializer writes and nothing else: protocol 2, about thirty opcodes, a fixed list of
//! names, memo entries in order. Values are built bottom up (a list is complete before it is memoised), so they cannot
//! contain themselves; a memo entry is shared, never copied, and the size that a value would have without sharing is
//! bounded, so nothing behind this reader meets a memo bomb. No tensor data is read here: storages and tensors are
//! collected as the pickle describes them, and [`tensor`](super::tensor) checks them against the records.
//! Memory is bounded by [`MAX_OPERATIONS`], whatever the pickle says.

mod global;

use std::collections::HashSet;

use self::global::Global;
use super::fields::Fields;
use super::tensor::{Storage, Tensor};
use crate::rejection::{Code, Rejection};

/// Opcodes in one pickle; a network takes about thirty per tensor.
pub(super) const MAX_OPERATIONS: usize = 2_000_000;
/// How deep values may contain each other.
pub(super) const MAX_DEPTH: u16 = 200;
/// Values in one pickle if none were shared.
pub(super) const MAX_UNSHARED_VALUES: u32 = 20_000_000;
/// Dimensions of one tensor; PyTorch's own limit.
const MAX_DIMENSIONS: usize = 64;

/// A value of the pickle, by its place in [`Pickle::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// What the pickle holds; children are shared by id.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// `None`, a number of which nothing is asked, a device, a complex number, an enumeration member.
    Opaque,
    Bool,
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(u32),
    /// An instance of a TorchScript class, with its attributes once it was built.
    Object(Option<Id>),
    Storage(u32),
    Tensor(u32),
}

#[derive(Debug)]
struct Node<'a> {
    value: Value<'a>,
    /// Values in it, itself included, each counted as often as it occurs.
    unshared: u32,
    depth: u16,
    /// Whether the memo holds it; from then on it does not change.
    memoised: bool,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
    globals: Vec<Global<'a>>,
    pub storages: Vec<Storage<'a>>,
    pub tensors: Vec<Tensor>,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle `bytes` of the record `name`.
    pub(super) fn read(bytes: &'a [u8], name: &str) -> Result<Self, Rejection> {
        let mut reader = Reader {
            fields: Fields::new(bytes),
            record: name,
            nodes: Vec::new(),
            globals: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            checked_type_tags: HashSet::new(),
        };
        let root = reader.run()?;
        let Reader { nodes, globals, storages, tensors, .. } = reader;
        Ok(Self { nodes, root, globals, storages, tensors })
    }

    pub(super) fn root(&self) -> &Value<'a> {
        self.value(self.root)
    }

    pub(super) fn value(&self, id: Id) -> &Value<'a> {
        &self.nodes[id.0 as usize].value
    }

    /// The TorchScript classes that the pickle names, as `__torch__.module.Class`.
    pub(super) fn classes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.globals.iter().filter_map(|global| match *global {
            Global::Class { module, name } => Some((module, name)),
            _ => None,
        })
    }

    /// The dotted path of a tensor from the root, `layer1.0.weight`.
    pub(super) fn path_of(&self, tensor: usize) -> Option<String> {
        let mut visited = vec![false; self.nodes.len()];
        let mut parts = Vec::new();
        self.find_tensor(self.root, tensor, &mut visited, &mut parts).then(|| parts.join("."))
    }

    /// Recursion is bounded by [`MAX_DEPTH`], the time by `visited`.
    fn find_tensor(&self, at: Id, tensor: usize, visited: &mut [bool], parts: &mut Vec<String>) -> bool {
        if std::mem::replace(&mut visited[at.0 as usize], true) {
            return false;
        }
        let mut step = |part: Option<String>, child: Id| {
            let depth = parts.len();
            parts.extend(part);
            let found = self.find_tensor(child, tensor, visited, parts);
            if !found {
                parts.truncate(depth);
            }
            found
        };
        match self.value(at) {
            Value::Tensor(index) => *index as usize == tensor,
            Value::Tuple(items) | Value::List(items) => {
                items.iter().enumerate().any(|(index, &item)| step(Some(index.to_string()), item))
            }
            Value::Dict(items) => items.iter().any(|&(key, value)| match self.value(key) {
                Value::Text(text) => step(Some((*text).to_owned()), value),
                _ => step(Some("?".to_owned()), value),
            }),
            Value::Object(Some(attributes)) => step(None, *attributes),
            _ => false,
        }
    }
}

/// The pickle machine: a stack, marks on it, and the memo.
struct Reader<'a, 'n> {
    fields: Fields<'a>,
    record: &'n str,
    nodes: Vec<Node<'a>>,
    globals: Vec<Global<'a>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Tensor>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Id>,
    /// A shared tag is read once.
    checked_type_tags: HashSet<Id>,
}

impl<'a> Reader<'a, '_> {
    fn run(&mut self) -> Result<Id, Rejection> {
        if self.fields.take(2) != Some(b"\x80\x02") {
            return Err(self.damaged("does not start as a pickle of protocol 2"));
        }
        for _ in 0..MAX_OPERATIONS {
            let opcode = self.fields.u8().ok_or_else(|| self.cut_off())?;
            if opcode == b'.' {
                return self.finish();
            }
            self.step(opcode)?;
        }
        Err(self.refused(format!("has more than {MAX_OPERATIONS} operations")))
    }

    fn finish(&mut self) -> Result<Id, Rejection> {
        if !self.fields.is_empty() {
            return Err(self.damaged("goes on after its end"));
        }
        match (self.stack.as_slice(), self.marks.as_slice()) {
            (&[root], []) => Ok(root),
            _ => Err(self.damaged("leaves more or less than one value")),
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), Rejection> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push_leaf(Value::Opaque),
            0x88 | 0x89 => self.push_leaf(Value::Bool),
            b'K' => self.push_integer(|fields| fields.u8().map(i64::from))?,
            b'M' => self.push_integer(|fields| fields.u16().map(i64::from))?,
            b'J' => self.push_integer(|fields| fields.i32().map(i64::from))?,
            0x8a => self.push_integer(long)?,
            b'G' => {
                self.fields.f64_big_endian().ok_or_else(|| self.cut_off())?;
                self.push_leaf(Value::Opaque);
            }
            b'X' => {
                let text = self.text()?;
                self.push_leaf(Value::Text(text));
            }
            b']' => self.push_leaf(Value::List(Vec::new())),
            b'}' => self.push_leaf(Value::Dict(Vec::new())),
            b')' => self.push_leaf(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_tuple(items)?;
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_tuple(items)?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let index = self.fields.u8().ok_or_else(|| self.cut_off())?;
                self.memoise(index.into())?;
            }
            b'r' => {
                let index = self.fields.u32().ok_or_else(|| self.cut_off())?;
                self.memoise(index)?;
            }
            b'h' => {
                let index = self.fields.u8().ok_or_else(|| self.cut_off())?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = self.fields.u32().ok_or_else(|| self.cut_off())?;
                self.recall(index)?;
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

    // The stack.

    fn push_leaf(&mut self, value: Value<'a>) {
        self.push_node(Node { value, unshared: 1, depth: 1, memoised: false });
    }

    fn push_node(&mut self, node: Node<'a>) {
        // `MAX_OPERATIONS` bounds the nodes.
        let id = Id(self.nodes.len() as u32);
        self.nodes.push(node);
        self.stack.push(id);
    }

    fn push_integer(&mut self, read: impl FnOnce(&mut Fields) -> Option<i64>) -> Result<(), Rejection> {
        let integer = read(&mut self.fields).ok_or_else(|| self.cut_off())?;
        self.push_leaf(Value::Int(integer));
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Id>) -> Result<(), Rejection> {
        let (unshared, depth) = self.measure(1, 1, &items)?;
        self.push_node(Node { value: Value::Tuple(items), unshared, depth, memoised: false });
        Ok(())
    }

    fn top(&self) -> Result<Id, Rejection> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => Err(self.damaged("takes a value from an empty stack")),
        }
    }

    fn pop(&mut self) -> Result<Id, Rejection> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, Rejection> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Rejection> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged("has no mark where one is needed"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Accounts for `items` that are now in `container`.
    fn grow(&mut self, container: Id, items: &[Id]) -> Result<(), Rejection> {
        let Node { unshared, depth, .. } = self.nodes[container.0 as usize];
        let (unshared, depth) = self.measure(unshared, depth, items)?;
        let node = &mut self.nodes[container.0 as usize];
        (node.unshared, node.depth) = (unshared, depth);
        Ok(())
    }

    /// Unshared size and depth of a container of that size and depth once it holds `items` too.
    fn measure(&self, mut unshared: u32, mut depth: u16, items: &[Id]) -> Result<(u32, u16), Rejection> {
        for item in items {
            let item = &self.nodes[item.0 as usize];
            unshared = unshared.saturating_add(item.unshared);
            depth = depth.max(item.depth + 1);
        }
        if unshared > MAX_UNSHARED_VALUES {
            return Err(self.refused(format!(
                "unfolds to more than {MAX_UNSHARED_VALUES} values: it refers to the same values again and again"
            )));
        }
        if depth > MAX_DEPTH {
            return Err(self.refused(format!("nests values more than {MAX_DEPTH} deep")));
        }
        Ok((unshared, depth))
    }

    // Containers, which change only until the memo holds them.

    fn unfinished_top(&self) -> Result<Id, Rejection> {
        let top = self.top()?;
        if self.nodes[top.0 as usize].memoised {
            return Err(self.refused("changes a value that is already in use elsewhere"));
        }
        Ok(top)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Rejection> {
        let list = self.unfinished_top()?;
        self.grow(list, &items)?;
        match &mut self.nodes[list.0 as usize].value {
            Value::List(list) => list.extend(items),
            _ => return Err(self.damaged("appends to something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), Rejection> {
        let dict = self.unfinished_top()?;
        self.grow(dict, items)?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.nodes[dict.0 as usize].value {
            Value::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(self.damaged("sets items of something that is no dictionary")),
        }
        Ok(())
    }

    fn new_object(&mut self) -> Result<(), Rejection> {
        let parts = self.pop_many(2)?;
        let is_class = matches!(self.global(parts[0]), Some(Global::Class { .. }));
        let no_arguments = matches!(&self.nodes[parts[1].0 as usize].value, Value::Tuple(items) if items.is_empty());
        if !is_class || !no_arguments {
            return Err(self.refused("makes an object of something that is no TorchScript class"));
        }
        self.push_leaf(Value::Object(None));
        Ok(())
    }

    fn build(&mut self) -> Result<(), Rejection> {
        let attributes = self.pop()?;
        let object = self.unfinished_top()?;
        let Value::Dict(items) = &self.nodes[attributes.0 as usize].value else {
            return Err(self
                .refused("gives an object a state that is no dictionary, which only `__setstate__` reads")
                .hint("remove `__getstate__`, `__setstate__` and `torch.jit.export` of them from the module"));
        };
        if !items.iter().all(|(key, _)| matches!(self.nodes[key.0 as usize].value, Value::Text(_))) {
            return Err(self.damaged("has an attribute whose name is no text"));
        }
        self.grow(object, &[attributes])?;
        match &mut self.nodes[object.0 as usize].value {
            Value::Object(state @ None) => *state = Some(attributes),
            _ => return Err(self.damaged("sets the attributes of something that is no new object")),
        }
        Ok(())
    }

    // The memo.

    fn memoise(&mut self, index: u32) -> Result<(), Rejection> {
        let top = self.top()?;
        if index as usize != self.memo.len() {
            return Err(self.refused(format!("writes memo entry {index} where {} is next", self.memo.len())));
        }
        self.nodes[top.0 as usize].memoised = true;
        self.memo.push(top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), Rejection> {
        let id = *self
            .memo
            .get(index as usize)
            .ok_or_else(|| self.damaged(format!("reads memo entry {index}, which is not written")))?;
        self.stack.push(id);
        Ok(())
    }

    // Texts and errors.

    fn text(&mut self) -> Result<&'a str, Rejection> {
        let length = self.fields.u32().ok_or_else(|| self.cut_off())?;
        let bytes = self.fields.take(length as usize).ok_or_else(|| self.cut_off())?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("has a text that is not UTF-8"))
    }

    fn rejection(&self, code: Code, what: impl std::fmt::Display) -> Rejection {
        Rejection::new(code, format!("`{}` {what}", self.record)).at(self.record)
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Rejection {
        self.rejection(Code::DamagedArchive, format!("{what} (before byte {})", self.fields.position()))
    }

    fn refused(&self, what: impl std::fmt::Display) -> Rejection {
        self.rejection(Code::UnsafeArchive, format!("{what} (before byte {})", self.fields.position()))
    }

    fn cut_off(&self) -> Rejection {
        self.damaged("is cut off")
    }
}

/// A little-endian two's complement integer of at most eight bytes.
fn long(fields: &mut Fields) -> Option<i64> {
    let length = usize::from(fields.u8()?);
    let bytes = fields.take(length)?;
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole.get_mut(..length)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}
