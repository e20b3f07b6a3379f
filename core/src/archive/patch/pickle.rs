//! A pickle as a tree whose nodes know their bytes, so that single values can be replaced and all else stays as it is.
//!
//! Only for pickles that passed the pre-flight: what it lets through is what this reads (see
//! [`untrusted::pickle`](crate::untrusted::pickle)), and all else is an error without further words.

use std::ops::Range;

/// A node of a [`Tree`].
pub(super) type NodeId = usize;

/// What a value is, as far as a patch asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Integer(i64),
    Text(String),
    /// A name of Python, or a class of the archive's own code.
    Global {
        module: String,
        name: String,
    },
    Tuple(Vec<NodeId>),
    List(Vec<NodeId>),
    /// Keys and values in turn.
    Dict(Vec<NodeId>),
    Object {
        class: NodeId,
        state: Option<NodeId>,
    },
    Call {
        function: NodeId,
        argument: NodeId,
    },
    /// What describes a storage.
    Persistent(NodeId),
    /// The value of another node, by way of the memo.
    Reference(NodeId),
    Other,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// From its first opcode to its last; what puts it into the memo does not belong to it.
    bytes: Range<usize>,
    is_memoised: bool,
}

/// A pickle and where its values lie in it.
#[derive(Debug)]
pub(super) struct Tree {
    pub bytes: Vec<u8>,
    nodes: Vec<Node>,
    root: NodeId,
}

impl Tree {
    /// Reads a pickle; `None` when it is none that the pre-flight lets through.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Reader { bytes: &bytes, position: 2, nodes: Vec::new(), stack: Vec::new(), memo: Vec::new() };
        let root = reader.run()?;
        let nodes = reader.nodes;
        Some(Self { bytes, nodes, root })
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    /// The node that a reference leads to, or the node itself.
    pub(super) fn behind(&self, node: NodeId) -> NodeId {
        match self.nodes[node].kind {
            Kind::Reference(target) => self.behind(target),
            _ => node,
        }
    }

    /// What the value is, references followed.
    pub(super) fn kind(&self, node: NodeId) -> &Kind {
        &self.nodes[self.behind(node)].kind
    }

    pub(super) fn is_reference(&self, node: NodeId) -> bool {
        matches!(self.nodes[node].kind, Kind::Reference(_))
    }

    /// Whether other places of the pickle may refer to the value.
    pub(super) fn is_memoised(&self, node: NodeId) -> bool {
        self.nodes[node].is_memoised
    }

    /// Whether another place of the pickle does.
    pub(super) fn is_referred_to(&self, node: NodeId) -> bool {
        self.nodes.iter().any(|other| other.kind == Kind::Reference(node))
    }

    /// The bytes of this node itself, those of a reference if it is one.
    pub(super) fn span(&self, node: NodeId) -> Range<usize> {
        self.nodes[node].bytes.clone()
    }

    pub(super) fn text(&self, node: NodeId) -> Option<&str> {
        match self.kind(node) {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(&self, node: NodeId) -> Option<i64> {
        match self.kind(node) {
            Kind::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    pub(super) fn integers(&self, node: NodeId) -> Option<Vec<i64>> {
        match self.kind(node) {
            Kind::Tuple(items) => items.iter().map(|&item| self.integer(item)).collect(),
            _ => None,
        }
    }

    /// What a call of this function was given, or nothing when the node is no such call.
    pub(super) fn call_of(&self, node: NodeId, names: &[&str]) -> Option<&[NodeId]> {
        let Kind::Call { function, argument } = self.kind(node) else { return None };
        let Kind::Global { name, .. } = self.kind(*function) else { return None };
        let Kind::Tuple(arguments) = self.kind(*argument) else { return None };
        names.contains(&name.as_str()).then_some(arguments.as_slice())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    nodes: Vec<Node>,
    /// Values, and `None` for marks, whose place in the pickle is remembered.
    stack: Vec<Entry>,
    memo: Vec<NodeId>,
}

#[derive(Clone, Copy)]
enum Entry {
    Value(NodeId),
    Mark(usize),
}

impl Reader<'_> {
    fn run(&mut self) -> Option<NodeId> {
        loop {
            let start = self.position;
            match self.byte()? {
                b'.' => return self.pop(),
                opcode => self.step(opcode, start)?,
            }
        }
    }

    fn step(&mut self, opcode: u8, start: usize) -> Option<()> {
        match opcode {
            b'(' => self.stack.push(Entry::Mark(start)),
            b'K' => {
                let [byte] = self.take()?;
                self.push(Kind::Integer(byte.into()), start);
            }
            b'M' => {
                let integer = u16::from_le_bytes(self.take()?);
                self.push(Kind::Integer(integer.into()), start);
            }
            b'J' => {
                let integer = i32::from_le_bytes(self.take()?);
                self.push(Kind::Integer(integer.into()), start);
            }
            0x8a => {
                let length = usize::from(self.byte()?);
                let read = self.slice(length)?;
                let mut bytes = [if read.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 }; 8];
                bytes.get_mut(..length)?.copy_from_slice(read);
                self.push(Kind::Integer(i64::from_le_bytes(bytes)), start);
            }
            b'G' => {
                self.take::<8>()?;
                self.push(Kind::Other, start);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                let text = String::from_utf8(self.slice(length)?.to_vec()).ok()?;
                self.push(Kind::Text(text), start);
            }
            b']' => self.push(Kind::List(Vec::new()), start),
            b'}' => self.push(Kind::Dict(Vec::new()), start),
            b')' => self.push(Kind::Tuple(Vec::new()), start),
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84))?;
                let items = self.values_from(first)?;
                let start = self.nodes[*items.first()?].bytes.start;
                self.push(Kind::Tuple(items), start);
            }
            b't' => {
                let (items, start) = self.pop_to_mark()?;
                self.push(Kind::Tuple(items), start);
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(vec![key, value])?;
            }
            b'e' | b'u' => {
                let (items, _) = self.pop_to_mark()?;
                self.extend(items)?;
            }
            b'q' => {
                self.byte()?;
                self.memoise()?;
            }
            b'r' => {
                self.take::<4>()?;
                self.memoise()?;
            }
            b'h' => {
                let index = usize::from(self.byte()?);
                self.recall(index, start)?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.take()?) as usize;
                self.recall(index, start)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Kind::Global { module, name }, start);
            }
            0x81 => {
                self.pop()?;
                let class = self.pop()?;
                let start = self.nodes[class].bytes.start;
                self.push(Kind::Object { class, state: None }, start);
            }
            b'b' => {
                let built = self.pop()?;
                let end = self.position;
                let object = self.top()?;
                let Kind::Object { state, .. } = &mut object.kind else { return None };
                *state = Some(built);
                object.bytes.end = end;
            }
            b'R' => {
                let argument = self.pop()?;
                let function = self.pop()?;
                let start = self.nodes[function].bytes.start;
                self.push(Kind::Call { function, argument }, start);
            }
            b'Q' => {
                let description = self.pop()?;
                let start = self.nodes[description].bytes.start;
                self.push(Kind::Persistent(description), start);
            }
            b'N' | 0x88 | 0x89 => self.push(Kind::Other, start),
            _ => return None,
        }
        Some(())
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.stack.push(Entry::Value(self.nodes.len()));
        self.nodes.push(Node { kind, bytes: start..self.position, is_memoised: false });
    }

    fn top(&mut self) -> Option<&mut Node> {
        match self.stack.last()? {
            Entry::Value(node) => self.nodes.get_mut(*node),
            Entry::Mark(_) => None,
        }
    }

    fn pop(&mut self) -> Option<NodeId> {
        match self.stack.pop()? {
            Entry::Value(node) => Some(node),
            Entry::Mark(_) => None,
        }
    }

    fn pop_to_mark(&mut self) -> Option<(Vec<NodeId>, usize)> {
        let mark = self.stack.iter().rposition(|entry| matches!(entry, Entry::Mark(_)))?;
        let items = self.values_from(mark + 1)?;
        match self.stack.pop()? {
            Entry::Mark(start) => Some((items, start)),
            Entry::Value(_) => None,
        }
    }

    fn values_from(&mut self, first: usize) -> Option<Vec<NodeId>> {
        let values = self.stack.drain(first..).map(|entry| match entry {
            Entry::Value(node) => Some(node),
            Entry::Mark(_) => None,
        });
        values.collect()
    }

    fn extend(&mut self, items: Vec<NodeId>) -> Option<()> {
        let end = self.position;
        let container = self.top()?;
        let (Kind::List(held) | Kind::Dict(held)) = &mut container.kind else { return None };
        held.extend(items);
        container.bytes.end = end;
        Some(())
    }

    fn memoise(&mut self) -> Option<()> {
        let &Entry::Value(node) = self.stack.last()? else { return None };
        self.nodes[node].is_memoised = true;
        self.memo.push(node);
        Some(())
    }

    fn recall(&mut self, index: usize, start: usize) -> Option<()> {
        let target = *self.memo.get(index)?;
        self.push(Kind::Reference(target), start);
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.slice(LENGTH)?.try_into().ok()
    }

    fn slice(&mut self, length: usize) -> Option<&[u8]> {
        let slice = self.bytes.get(self.position..self.position.checked_add(length)?)?;
        self.position += length;
        Some(slice)
    }

    fn line(&mut self) -> Option<String> {
        let rest = self.bytes.get(self.position..)?;
        let length = rest.iter().position(|&byte| byte == b'\n')?;
        let line = String::from_utf8(rest[..length].to_vec()).ok()?;
        self.position += length + 1;
        Some(line)
    }
}

/// An integer as the shortest opcode that PyTorch writes for it.
pub(super) fn integer(value: i64) -> Vec<u8> {
    if let Ok(byte) = u8::try_from(value) {
        vec![b'K', byte]
    } else if let Ok(short) = u16::try_from(value) {
        [&[b'M'][..], &short.to_le_bytes()].concat()
    } else if let Ok(integer) = i32::try_from(value) {
        [&[b'J'][..], &integer.to_le_bytes()].concat()
    } else {
        [&[0x8a, 8][..], &value.to_le_bytes()].concat()
    }
}

/// A tuple of integers.
pub(super) fn integers(values: &[i64]) -> Vec<u8> {
    let items = values.iter().flat_map(|&value| integer(value));
    [b'('].into_iter().chain(items).chain([b't']).collect()
}

pub(super) fn text(text: &str) -> Vec<u8> {
    [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// The name of a class, from `__torch__.module.Class`.
pub(super) fn class(qualified: &str) -> Vec<u8> {
    let (module, name) = qualified.rsplit_once('.').unwrap_or(("", qualified));
    format!("c{module}\n{name}\n").into_bytes()
}

/// The pickle with other bytes in these places.
pub(super) fn spliced(bytes: &[u8], mut splices: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
    splices.sort_by_key(|(range, _)| range.start);
    let mut result = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (range, replacement) in splices {
        result.extend_from_slice(&bytes[done..range.start]);
        result.extend(replacement);
        done = range.end;
    }
    result.extend_from_slice(&bytes[done..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_they_are_written() {
        for value in [0, 1, 255, 256, 65_535, 65_536, -1, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MIN] {
            let pickle = [b"\x80\x02".to_vec(), integer(value), b".".to_vec()].concat();
            let tree = Tree::read(pickle).unwrap();
            assert_eq!(tree.integer(tree.root()), Some(value));
        }
    }

    #[test]
    fn a_value_is_replaced_in_its_place_and_the_memo_stays() {
        // ("a" as memo entry 0, (2, 3), "a" from the memo)
        let pickle = [b"\x80\x02(".to_vec(), text("a"), b"q\x00(K\x02K\x03th\x00t.".to_vec()].concat();
        let tree = Tree::read(pickle).unwrap();
        let Kind::Tuple(items) = tree.kind(tree.root()).clone() else { panic!("it is a tuple") };
        assert_eq!((tree.text(items[0]), tree.integers(items[1])), (Some("a"), Some(vec![2, 3])));
        assert!(tree.is_reference(items[2]) && tree.is_referred_to(items[0]));
        let longer = spliced(&tree.bytes, vec![(tree.span(items[1]), integers(&[300]))]);
        let tree = Tree::read(longer).unwrap();
        let Kind::Tuple(items) = tree.kind(tree.root()).clone() else { panic!("it is a tuple") };
        assert_eq!((tree.text(items[2]), tree.integers(items[1])), (Some("a"), Some(vec![300])));
    }
}
