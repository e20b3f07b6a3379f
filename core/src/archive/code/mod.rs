//! A first sieve over the source text in `code/`.
//!
//! Loading an archive parses and compiles this text and runs its `__setstate__` methods, so those are refused before
//! anything is loaded, and so is text that is nested deeply enough to overflow the stack of a recursive parser. Operators
//! outside `aten` and `prim` are refused by name, with a hint where people are likely to meet them.
//! A text scan can be deceived: the engine checks every operator again after loading, by default deny.

use crate::rejection::{Code, Rejection};

use super::QUANTIZED_HINT;

/// Brackets in brackets.
pub(super) const MAX_NESTING: usize = 200;
/// Operators, brackets and attribute dots between two commas, which become the depth of a syntax tree.
pub(super) const MAX_CHAIN: usize = 1000;
/// Spaces before a statement: a hundred blocks in blocks.
pub(super) const MAX_INDENTATION: usize = 200;
/// Bytes of one line; constants are written in line.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Refuses the source text of the record `name` unless every rule of this module holds.
pub(super) fn check_source(text: &[u8], name: &str) -> Result<(), Rejection> {
    check_words(text, name)?;
    let mut checker = Checker { lexer: Lexer::new(text), record: name, chains: vec![0], chain: 0 };
    checker.run()
}

/// The first reason by which the text as a whole is refused, the most telling one first: quantized modules have
/// `__setstate__` too.
fn check_words(text: &[u8], record: &str) -> Result<(), Rejection> {
    let has = |word: &[u8]| text.windows(word.len()).any(|window| window[0] == word[0] && window == word);
    let rejection = |code, what: &str| Rejection::new(code, format!("`{record}` {what}")).at(record);
    if has(b"ops.quantized") || has(b"torch.classes.quantized") {
        return Err(
            rejection(Code::UnsupportedDtype, "has quantized layers; a float32 model is needed").hint(QUANTIZED_HINT)
        );
    }
    if has(b"MKLDNN") || has(b"mkldnn_") || has(b"ops.mkldnn") || has(b"ops.prepacked") || has(b"ops.mkl.") {
        return Err(rejection(Code::UnsupportedModel, "has layers that were packed for one kind of processor")
            .hint("save the model before `torch.jit.optimize_for_inference` or `optimize_for_mobile`, not after"));
    }
    if has(b"__torch__.torch.classes") {
        return Err(rejection(Code::UnsafeArchive, "uses a custom C++ class")
            .hint("only parameters, buffers and plain attributes can be stored in a model"));
    }
    if has(b"__setstate__") || has(b"__getstate__") {
        return Err(rejection(
            Code::UnsafeArchive,
            "has `__setstate__` or `__getstate__`, which run while the model is loaded",
        )
        .hint("remove both methods from the module and save it again"));
    }
    Ok(())
}

/// Walks over the tokens and counts how deep they nest.
struct Checker<'a, 'n> {
    lexer: Lexer<'a>,
    record: &'n str,
    /// Tokens since the last comma, for each open bracket and the statement itself.
    chains: Vec<usize>,
    /// Their sum.
    chain: usize,
}

impl Checker<'_, '_> {
    fn run(&mut self) -> Result<(), Rejection> {
        let mut last = Token::Newline { indentation: 0 };
        while let Some(token) = self.lexer.next_token().map_err(|what| self.unsafe_code(what))? {
            match token {
                Token::Newline { indentation } => {
                    if indentation > MAX_INDENTATION {
                        return Err(self.unsafe_code(format!("nests blocks more than {MAX_INDENTATION} spaces deep")));
                    }
                    if self.chains.len() == 1 {
                        self.reset();
                    }
                }
                Token::Word(b"ops") if last != Token::Symbol(b'.') => self.check_operator()?,
                Token::Word(b"not" | b"and" | b"or" | b"if" | b"else" | b"is" | b"in") => self.lengthen(1)?,
                Token::Word(_) | Token::Literal => {}
                Token::Symbol(b'(' | b'[' | b'{') => {
                    self.lengthen(1)?;
                    self.chains.push(0);
                    if self.chains.len() > MAX_NESTING {
                        return Err(self.unsafe_code(format!("nests brackets more than {MAX_NESTING} deep")));
                    }
                }
                Token::Symbol(b')' | b']' | b'}') => {
                    if self.chains.len() == 1 {
                        return Err(self.unsafe_code("closes a bracket that is not open"));
                    }
                    self.chain -= self.chains.pop().unwrap_or(0);
                }
                Token::Symbol(b',' | b':' | b';' | b'=') => self.reset(),
                Token::Symbol(_) => self.lengthen(1)?,
            }
            last = token;
        }
        if self.chains.len() > 1 {
            return Err(self.unsafe_code("ends with an open bracket"));
        }
        Ok(())
    }

    fn lengthen(&mut self, by: usize) -> Result<(), Rejection> {
        if let Some(innermost) = self.chains.last_mut() {
            *innermost += by;
        }
        self.chain += by;
        if self.chain > MAX_CHAIN {
            return Err(self.unsafe_code(format!("has an expression of more than {MAX_CHAIN} operators in a chain")));
        }
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(innermost) = self.chains.last_mut() {
            self.chain -= std::mem::take(innermost);
        }
    }

    /// Reads `.namespace.name` after `ops`.
    fn check_operator(&mut self) -> Result<(), Rejection> {
        let mut parts = [&b""[..]; 2];
        for part in &mut parts {
            let dot = self.lexer.next_token().map_err(|what| self.unsafe_code(what))?;
            let word = self.lexer.next_token().map_err(|what| self.unsafe_code(what))?;
            match (dot, word) {
                (Some(Token::Symbol(b'.')), Some(Token::Word(word))) => *part = word,
                _ => return Err(self.unsafe_code("uses `ops` other than to call `ops.namespace.operator`")),
            }
        }
        let [namespace, name] = parts.map(String::from_utf8_lossy);
        let operator = format!("{namespace}::{name}");
        match namespace.as_ref() {
            "prim" if name.starts_with("rpc_") => {
                Err(self.unsafe_code(format!("calls `{operator}`, which reaches other machines")))
            }
            "aten" | "prim" => Ok(()),
            _ => {
                let rejection = Rejection::new(
                    Code::UnsupportedOperator,
                    format!(
                        "`{}` calls the operator `{operator}`; only PyTorch's own operators (`aten`, `prim`) are supported",
                        self.record
                    ),
                )
                .at(operator);
                Err(rejection.hint(match namespace.as_ref() {
                    "torchvision" => {
                        "torchvision's C++ operators (nms, roi_align, deform_conv2d) are not supported: \
                         export the backbone without the part that calls them"
                    }
                    _ => "export the part of the model that does not call it",
                }))
            }
        }
    }

    fn unsafe_code(&self, what: impl std::fmt::Display) -> Rejection {
        Rejection::new(Code::UnsafeArchive, format!("line {} of `{}` {what}", self.lexer.line, self.record))
            .at(self.record)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    /// A number or a text.
    Literal,
    Symbol(u8),
    Newline {
        indentation: usize,
    },
}

/// Splits text as PyTorch's lexer does, as far as that matters here.
struct Lexer<'a> {
    text: &'a [u8],
    position: usize,
    /// From 1, for messages.
    line: usize,
    line_start: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, line: 1, line_start: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn skip_while(&mut self, condition: impl Fn(u8) -> bool) -> usize {
        let start = self.position;
        while self.peek().is_some_and(&condition) {
            self.position += 1;
        }
        self.position - start
    }

    fn next_token(&mut self) -> Result<Option<Token<'a>>, &'static str> {
        loop {
            let Some(byte) = self.peek() else {
                return Ok(None);
            };
            match byte {
                b' ' | b'\t' | b'\r' => self.position += 1,
                b'#' => {
                    self.skip_while(|byte| byte != b'\n');
                }
                b'\\' if self.text.get(self.position + 1) == Some(&b'\n') => {
                    self.position += 1;
                    self.end_line()?;
                }
                b'\n' => {
                    self.end_line()?;
                    let indentation = self.skip_while(|byte| byte == b' ');
                    return Ok(Some(Token::Newline { indentation }));
                }
                b'"' | b'\'' => return self.skip_text(byte).map(|()| Some(Token::Literal)),
                b'0'..=b'9' => {
                    self.skip_number();
                    return Ok(Some(Token::Literal));
                }
                b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                    let start = self.position;
                    self.skip_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                    return Ok(Some(Token::Word(&self.text[start..self.position])));
                }
                0x21..0x7f => {
                    self.position += 1;
                    return Ok(Some(Token::Symbol(byte)));
                }
                _ => return Err("has a character outside ASCII that is not in a text"),
            }
        }
    }

    fn end_line(&mut self) -> Result<(), &'static str> {
        if self.position - self.line_start > MAX_LINE {
            return Err("is too long");
        }
        self.position += 1;
        self.line += 1;
        self.line_start = self.position;
        Ok(())
    }

    fn skip_number(&mut self) {
        loop {
            self.skip_while(|byte| byte == b'.' || byte == b'_' || byte.is_ascii_alphanumeric());
            let after_exponent = matches!(self.text.get(self.position.wrapping_sub(1)), Some(b'e' | b'E'));
            if !(after_exponent && matches!(self.peek(), Some(b'+' | b'-'))) {
                return;
            }
            self.position += 1;
        }
    }

    fn skip_text(&mut self, quote: u8) -> Result<(), &'static str> {
        let triple = [quote; 3];
        let closing = if self.text[self.position..].starts_with(&triple) { &triple[..] } else { &triple[..1] };
        self.position += closing.len();
        loop {
            let rest = &self.text[self.position..];
            if rest.starts_with(closing) {
                self.position += closing.len();
                return Ok(());
            }
            match rest.first() {
                None => return Err("has a text that does not end"),
                Some(b'\n') if closing.len() == 1 => return Err("has a text that does not end"),
                Some(b'\n') => self.end_line()?,
                Some(b'\\') if rest.len() > 1 && rest[1] != b'\n' => self.position += 2,
                Some(_) => self.position += 1,
            }
        }
    }
}
