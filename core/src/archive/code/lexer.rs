//! Tokens of serialised TorchScript, as PyTorch's printer writes it and PyTorch's lexer reads it.
//!
//! The lexer takes less than PyTorch's own does: spaces and newlines are the only blanks, there are no comments, texts stand in
//! double quotes on one line, numbers have one spelling, nothing outside ASCII stands outside a text. What both take they read
//! alike, so a check of these tokens is a check of what libtorch compiles. Newlines inside brackets do not count; indentation
//! becomes tokens.

/// Spaces before a statement: a hundred blocks in blocks.
pub(in crate::archive) const MAX_INDENTATION: usize = 200;
/// Brackets in brackets.
pub(in crate::archive) const MAX_NESTING: usize = 200;
/// Bytes of one line; constants are written in line.
pub(in crate::archive) const MAX_LINE: usize = 1 << 20;

/// The smallest part of source text that has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword.
    Word(&'a str),
    Number(&'a str),
    /// What stands between the quotes, escapes as they are written.
    Text(&'a str),
    Symbol(u8),
    /// `->`
    Arrow,
    Newline,
    Indent,
    Dedent,
    End,
}

/// Splits source text into tokens.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
    line: usize,
    line_start: usize,
    /// Open brackets.
    nesting: usize,
    /// Indentation of the blocks that are open, the outermost first.
    indentation: Vec<usize>,
    /// Blocks that the last newline closed and that were not told yet.
    dedents: usize,
    /// Whether a statement has begun that no newline has ended.
    in_statement: bool,
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            line: 1,
            line_start: 0,
            nesting: 0,
            indentation: vec![0],
            dedents: 0,
            in_statement: false,
        }
    }

    /// The whole text.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The line that was read last, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The next token; the error completes the sentence "Line 3 of `code/__torch__.py` …".
    pub(super) fn next_token(&mut self) -> Result<Token<'a>, String> {
        if self.dedents > 0 {
            self.dedents -= 1;
            return Ok(Token::Dedent);
        }
        if !self.in_statement
            && self.nesting == 0
            && let Some(block) = self.begin_statement()?
        {
            return Ok(block);
        }
        self.skip_blanks()?;
        let Some(byte) = self.peek() else { return self.end() };
        match byte {
            b'\n' => {
                self.end_line()?;
                self.in_statement = false;
                Ok(Token::Newline)
            }
            b'"' => self.quoted(),
            b'0'..=b'9' => self.number(),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => Ok(Token::Word(self.take_while(is_word))),
            b'-' if self.rest().starts_with("->") => {
                self.position += 2;
                Ok(Token::Arrow)
            }
            _ => self.symbol(byte),
        }
    }

    /// Goes to the next statement and compares its indentation with the block before it.
    fn begin_statement(&mut self) -> Result<Option<Token<'a>>, String> {
        let indentation = loop {
            let indentation = self.take_while(|byte| byte == b' ').len();
            match self.peek() {
                Some(b'\n') => self.end_line()?,
                Some(_) => break indentation,
                None => break 0,
            }
        };
        if indentation > MAX_INDENTATION {
            return Err(format!("nests blocks more than {MAX_INDENTATION} spaces deep"));
        }
        let current = *self.indentation.last().expect("the outermost block is never closed");
        if indentation > current {
            self.in_statement = true;
            self.indentation.push(indentation);
            return Ok(Some(Token::Indent));
        }
        while self.indentation.last().is_some_and(|&open| open > indentation) {
            self.indentation.pop();
            self.dedents += 1;
        }
        if self.indentation.last() != Some(&indentation) {
            return Err("is indented like no block that is open".to_owned());
        }
        self.in_statement = self.peek().is_some();
        if self.dedents > 0 {
            self.dedents -= 1;
            return Ok(Some(Token::Dedent));
        }
        Ok(None)
    }

    fn end(&mut self) -> Result<Token<'a>, String> {
        if self.nesting > 0 {
            return Err("ends with an open bracket".to_owned());
        }
        self.check_line()?;
        if self.in_statement {
            // A last line without a newline.
            self.in_statement = false;
            return Ok(Token::Newline);
        }
        Ok(Token::End)
    }

    fn symbol(&mut self, byte: u8) -> Result<Token<'a>, String> {
        match byte {
            b'(' | b'[' | b'{' => {
                self.nesting += 1;
                if self.nesting > MAX_NESTING {
                    return Err(format!("nests brackets more than {MAX_NESTING} deep"));
                }
            }
            b')' | b']' | b'}' => {
                self.nesting = self.nesting.checked_sub(1).ok_or("closes a bracket that is not open")?;
            }
            b'.' | b',' | b':' | b'=' | b'-' => {}
            b'\'' => return Err("has a text in single quotes; PyTorch writes double ones".to_owned()),
            b'\\' => return Err("continues behind a backslash".to_owned()),
            0x21..=0x7e => {
                return Err(format!("has the character `{}`, which PyTorch never writes there", byte as char));
            }
            0x80.. => return Err("has a character outside ASCII that is not in a text".to_owned()),
            _ => return Err(format!("has the control character {byte:#04x}")),
        }
        self.position += 1;
        Ok(Token::Symbol(byte))
    }

    fn quoted(&mut self) -> Result<Token<'a>, String> {
        if self.rest().starts_with("\"\"\"") {
            return Err("has a text in triple quotes; PyTorch writes single ones".to_owned());
        }
        let start = self.position + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') if bytes.get(end + 1).is_some_and(|&byte| byte != b'\n') => end += 2,
                Some(b'\n' | b'\\') | None => return Err("has a text that does not end".to_owned()),
                Some(&control @ (..b' ' | 0x7f)) => {
                    return Err(format!("has the control character {control:#04x} in a text; PyTorch escapes it"));
                }
                Some(_) => end += 1,
            }
        }
        self.position = end + 1;
        // Both ends lie at a quote, whatever an escape stepped over.
        Ok(Token::Text(&self.text[start..end]))
    }

    /// `12`, `1.5`, `2.`, `1e-05`, `2.j`.
    fn number(&mut self) -> Result<Token<'a>, String> {
        let start = self.position;
        let is_digit = |byte: u8| byte.is_ascii_digit();
        self.take_while(is_digit);
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.take_while(is_digit);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            if self.take_while(is_digit).is_empty() {
                return Err("has a number without the digits of its exponent".to_owned());
            }
        }
        if self.peek() == Some(b'j') {
            self.position += 1;
        }
        match self.peek() {
            Some(byte) if is_word(byte) || byte == b'.' => {
                Err("has a number that PyTorch does not write so".to_owned())
            }
            _ => Ok(Token::Number(&self.text[start..self.position])),
        }
    }

    /// Skips what separates tokens: spaces, and newlines inside brackets.
    fn skip_blanks(&mut self) -> Result<(), String> {
        loop {
            self.take_while(|byte| byte == b' ');
            if self.nesting == 0 || self.peek() != Some(b'\n') {
                return Ok(());
            }
            self.end_line()?;
        }
    }

    fn end_line(&mut self) -> Result<(), String> {
        self.check_line()?;
        self.position += 1;
        self.line += 1;
        self.line_start = self.position;
        Ok(())
    }

    fn check_line(&self) -> Result<(), String> {
        match self.position - self.line_start {
            0..=MAX_LINE => Ok(()),
            length => Err(format!("has {length} bytes; at most {MAX_LINE} are read")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn rest(&self) -> &'a str {
        // Every step ends at a character's boundary: what is stepped over is ASCII or a text.
        &self.text[self.position..]
    }

    fn take_while(&mut self, condition: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !condition(byte)).unwrap_or(rest.len());
        self.position += length;
        &rest[..length]
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}
