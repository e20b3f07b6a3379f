//! What an engine said, bounded: the first lines and the last ones.

use std::collections::VecDeque;

use secateur_core::plain_text;

const FIRST: usize = 16 * 1024;
const LAST: usize = 48 * 1024;
/// What a process says when it dies.
const LAST_WORDS: usize = 4096;

/// Keeps the head and the tail of what is written to it.
#[derive(Debug, Default)]
pub(super) struct BoundedLog {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl BoundedLog {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let to_head = bytes.len().min(FIRST - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        self.tail.extend(&bytes[to_head..]);
        let surplus = self.tail.len().saturating_sub(LAST);
        self.tail.drain(..surplus);
        self.left_out += surplus as u64;
    }

    pub(super) fn push_line(&mut self, line: &str) {
        self.push(line.trim_end().as_bytes());
        self.push(b"\n");
    }

    /// Whether a text stands in what was said last.
    pub(super) fn ends_about(&self, text: &str) -> bool {
        let said = if self.tail.is_empty() { self.head.clone() } else { self.tail.iter().copied().collect() };
        let last = &said[said.len().saturating_sub(LAST_WORDS)..];
        last.windows(text.len()).any(|words| words == text.as_bytes())
    }

    /// As text that Postgres takes and that a terminal only shows.
    pub(super) fn into_text(self) -> String {
        let mut bytes = self.head;
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n[{} bytes left out]\n", self.left_out).as_bytes());
        }
        bytes.extend(self.tail);
        plain_text::lines(&String::from_utf8_lossy(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let mut log = BoundedLog::default();
        log.push(b"one\0\x1b[2Jtwo\n\tthree\n");
        assert_eq!(log.into_text(), "one\\u0000\\u001b[2Jtwo\n\tthree\n");
    }

    #[test]
    fn a_flood_keeps_its_first_and_its_last_line() {
        let mut log = BoundedLog::default();
        for line in 0..100_000 {
            log.push_line(&format!("line {line}"));
        }
        let text = log.into_text();
        assert!(text.starts_with("line 0\n") && text.ends_with("line 99999\n") && text.contains("bytes left out"));
        assert!(text.len() < FIRST + LAST + 100);
    }
}
