//! The stack of the pickle machine, in constant memory.
//!
//! PyTorch's serializer pushes all items of a list or dictionary, half a million words of a vocabulary if need be, before
//! one opcode puts them in. Of the values since a mark only the newest stay on the stack, which are all that another opcode
//! can reach; those before them are counted ([`Tally`]). The items of a tuple are held beside the stack while the tuple
//! may be the arguments of a call, that is among the first few values since its mark or on top.

use super::global::Global;
use super::packed::Packed;
use super::text::TextId;
use super::value::{Excess, Items, Tally, ValueKind, ValueSummary};

/// Values since a mark that stay on the stack, at least and at most; no opcode without a mark takes more than three.
const KEPT: usize = 16;
const MOST_KEPT: usize = 32;
/// Open marks; there are up to three for each level of nesting.
const MAX_MARKS: usize = 1_000;
/// Dimensions of a tensor; PyTorch's own limit. Longer tuples describe nothing.
pub(super) const MAX_DIMENSIONS: usize = 64;
/// Values in the tuple that describes a tensor, or any other call.
pub(super) const MOST_ARGUMENTS: usize = 7;
/// Items of all tuples that are held.
const MAX_ITEMS: usize = 4_096;

/// The values that an opcode can still reach, and the marks between them.
#[derive(Debug)]
pub(super) struct ValueStack {
    values: Vec<ValueSummary>,
    /// The values before the first mark, and those since each mark.
    segments: Vec<StackSegment>,
    items: Vec<ValueSummary>,
}

/// The values from one mark to the next.
#[derive(Debug, Clone, Copy)]
struct StackSegment {
    /// Its first value on the stack.
    start: usize,
    /// Values before that one, which are only counted.
    counted: Tally,
    /// Items that were held when it began.
    items: usize,
}

/// Why an opcode cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StackFault {
    Empty,
    NoMark,
    TooManyMarks,
    Excess(Excess),
}

impl From<Excess> for StackFault {
    fn from(excess: Excess) -> Self {
        Self::Excess(excess)
    }
}

/// A step from a value to one that it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Key(TextId),
    Index(usize),
}

impl ValueStack {
    /// An empty stack.
    pub(super) fn new() -> Self {
        let bottom = StackSegment { start: 0, counted: Tally::NONE, items: 0 };
        Self { values: Vec::new(), segments: vec![bottom], items: Vec::new() }
    }

    /// The one value that is left when everything else was put into it.
    pub(super) fn only_value(&self) -> Option<ValueSummary> {
        match (self.values.as_slice(), self.segments.as_slice()) {
            (&[value], [bottom]) if bottom.counted.count == 0 => Some(value),
            _ => None,
        }
    }

    /// Puts a value on top.
    pub(super) fn push(&mut self, value: ValueSummary) {
        self.settle();
        self.push_settled(value);
    }

    /// The value on top.
    pub(super) fn top(&mut self) -> Result<&mut ValueSummary, StackFault> {
        if self.values.len() == self.segment().start {
            return Err(StackFault::Empty);
        }
        self.values.last_mut().ok_or(StackFault::Empty)
    }

    /// Takes the topmost values off, the last of them from the top.
    pub(super) fn pop<const COUNT: usize>(&mut self) -> Result<[ValueSummary; COUNT], StackFault> {
        match self.values[self.segment().start..].last_chunk() {
            Some(&popped) => {
                self.values.truncate(self.values.len() - COUNT);
                Ok(popped)
            }
            None => Err(StackFault::Empty),
        }
    }

    /// Sets a mark above the values.
    pub(super) fn mark(&mut self) -> Result<(), StackFault> {
        if self.segments.len() > MAX_MARKS {
            return Err(StackFault::TooManyMarks);
        }
        self.settle();
        self.segments.push(StackSegment { start: self.values.len(), counted: Tally::NONE, items: self.items.len() });
        Ok(())
    }

    /// The values since the last mark, unless there are so many that they are only counted.
    pub(super) fn marked(&self) -> Option<&[ValueSummary]> {
        let segment = self.segment();
        (segment.counted.count == 0).then(|| &self.values[segment.start..])
    }

    /// Takes the values since the last mark away.
    pub(super) fn pop_to_mark(&mut self) -> Result<Tally, StackFault> {
        let segment = self.pop_segment()?;
        let content = self.content(&segment);
        self.values.truncate(segment.start);
        self.items.truncate(segment.items);
        Ok(content)
    }

    /// Replaces the values since the last mark by a tuple of them.
    pub(super) fn tuple_to_mark(&mut self) -> Result<(), StackFault> {
        let segment = self.pop_segment()?;
        let content = self.content(&segment);
        self.replace_by_tuple(segment.start, &content, segment.counted.count == 0)
    }

    /// Replaces the topmost values by a tuple of them.
    pub(super) fn tuple(&mut self, count: usize) -> Result<(), StackFault> {
        let start = self.values.len().checked_sub(count).filter(|&start| start >= self.segment().start);
        let start = start.ok_or(StackFault::Empty)?;
        let content = Tally::of(&self.values[start..]);
        self.replace_by_tuple(start, &content, true)
    }

    /// The items of a tuple, when they are held.
    pub(super) fn items(&self, tuple: &ValueSummary) -> Option<&[ValueSummary]> {
        match tuple.kind {
            ValueKind::Tuple(Some(items)) => {
                let first = usize::from(items.first.0);
                self.items.get(first..first + usize::from(items.length))
            }
            _ => None,
        }
    }

    /// Lets the items of a tuple go that was taken off the stack.
    pub(super) fn release(&mut self, tuple: &ValueSummary) {
        // An empty tuple may come from the memo, where its place means nothing any more.
        if let ValueKind::Tuple(Some(Items { base, length: 1.., .. })) = tuple.kind {
            self.items.truncate(base.0.into());
        }
    }

    /// The steps from the bottom of the stack to the value that is pushed next.
    pub(super) fn path(&self) -> Vec<Step> {
        let mut path = Vec::new();
        let mut container = None;
        for (index, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(index + 1);
            let values = &self.values[segment.start..next.map_or(self.values.len(), |next| next.start)];
            let unfinished = if next.is_some() { unfinished_values(values) } else { 0 };
            let finished = &values[..values.len() - unfinished];
            let count = segment.counted.count as usize + finished.len();
            match (container, finished.last().map(|value| value.kind)) {
                // Before the first mark is the root.
                (None, _) => {}
                (Some(ValueKind::Dict { .. }), Some(ValueKind::Text(key))) if count % 2 == 1 => {
                    path.push(Step::Key(key.id));
                }
                (Some(_), _) => path.push(Step::Index(count)),
            }
            container = Some(values.last().map_or(ValueKind::Opaque, |value| value.kind));
        }
        path
    }

    fn segment(&self) -> &StackSegment {
        self.segments.last().expect("the bottom segment is never popped")
    }

    fn pop_segment(&mut self) -> Result<StackSegment, StackFault> {
        match self.segments.len() {
            0 | 1 => Err(StackFault::NoMark),
            _ => self.segments.pop().ok_or(StackFault::NoMark),
        }
    }

    fn content(&self, segment: &StackSegment) -> Tally {
        self.values[segment.start..].iter().fold(segment.counted, |content, value| content.and(value))
    }

    /// Tuples among more values than a call has arguments are no arguments.
    fn settle(&mut self) {
        let segment = *self.segment();
        let count = segment.counted.count as usize + self.values.len() - segment.start;
        if count > MOST_ARGUMENTS && self.items.len() > segment.items {
            self.values[segment.start..].iter_mut().for_each(ValueSummary::forget_items);
            self.items.truncate(segment.items);
        }
    }

    fn push_settled(&mut self, value: ValueSummary) {
        let segment = self.segments.last_mut().expect("the bottom segment is never popped");
        if self.values.len() - segment.start == MOST_KEPT {
            let oldest = self.values.drain(segment.start..segment.start + MOST_KEPT - KEPT);
            segment.counted = oldest.fold(segment.counted, |content, value| content.and(&value));
        }
        self.values.push(value);
    }

    fn replace_by_tuple(&mut self, start: usize, content: &Tally, complete: bool) -> Result<(), StackFault> {
        let parts = &self.values[start..];
        let base = parts.iter().find_map(|value| match value.kind {
            ValueKind::Tuple(Some(Items { base, length: 1.., .. })) => Some(usize::from(base.0)),
            _ => None,
        });
        let base = base.unwrap_or(self.items.len());
        let fits = parts.len() <= MAX_DIMENSIONS && self.items.len() + parts.len() <= MAX_ITEMS;
        let items = if complete && fits {
            let first = self.items.len();
            self.items.extend_from_slice(parts);
            // `MAX_ITEMS` and `MAX_DIMENSIONS` bound the numbers.
            Some(Items { base: Packed(base as u16), first: Packed(first as u16), length: parts.len() as u8 })
        } else {
            self.items.truncate(base);
            None
        };
        self.values.truncate(start);
        self.push_settled(ValueSummary::around(ValueKind::Tuple(items), content)?);
        Ok(())
    }
}

/// The last values of those before a mark that belong to what the mark began: a list or dictionary that is not filled,
/// below it its object, and the name that will be called with it.
fn unfinished_values(values: &[ValueSummary]) -> usize {
    let kind = |from_end: usize| values.len().checked_sub(from_end).map(|index| values[index].kind);
    let is_call = |from_end| matches!(kind(from_end), Some(ValueKind::Global(global)) if global != Global::Class);
    let container = match kind(1) {
        Some(ValueKind::Dict { .. }) if matches!(kind(2), Some(ValueKind::Object { built: false, .. })) => return 2,
        Some(ValueKind::Dict { .. } | ValueKind::List { .. }) => 1,
        _ => 0,
    };
    container + usize::from(is_call(container + 1))
}
