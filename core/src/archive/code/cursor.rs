//! A place in the tokens of one source file, with the words of refusals.

use std::cell::Cell;

use super::id::TypeId;
use super::lexer::{Lexer, Token};
use super::types::{Type, Types};
use super::{MAX_ITEMS, MAX_NAME, MAX_STATEMENTS, SAVE_HINT};
use crate::rejection::{Code, Rejection};

/// Words that are no identifiers, in TorchScript or in the Python that it is a part of.
const KEYWORDS: [&str; 38] = [
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "True",
    "False",
    "None",
    "NoneType",
    "Ellipsis",
    "__debug__",
];

/// What all source files of an archive may have together, beyond their bytes: libtorch takes kilobytes for each of these.
#[derive(Debug)]
pub(super) struct Budget {
    statements: Cell<usize>,
    items: Cell<usize>,
}

impl Budget {
    /// A budget of which nothing is spent.
    pub(super) fn new() -> Self {
        Self { statements: Cell::new(MAX_STATEMENTS), items: Cell::new(MAX_ITEMS) }
    }
}

/// Reads the tokens of a file with one token of lookahead behind the current one.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    budget: &'a Budget,
    /// The record that is read, `code/__torch__/net.py`.
    pub record: &'a str,
    pub current: Token<'a>,
    pub following: Token<'a>,
    /// The line of the current token.
    line: usize,
    line_of_following: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the first token of the source text of `record`.
    pub(super) fn new(text: &'a str, record: &'a str, budget: &'a Budget) -> Result<Self, Rejection> {
        let (current, following) = (Token::End, Token::End);
        let mut cursor =
            Self { lexer: Lexer::new(text), budget, record, current, following, line: 1, line_of_following: 1 };
        cursor.advance()?;
        cursor.advance()?;
        Ok(cursor)
    }

    /// Goes to the next token and returns the one that was current.
    pub(super) fn advance(&mut self) -> Result<Token<'a>, Rejection> {
        let passed = self.current;
        (self.current, self.line) = (self.following, self.line_of_following);
        self.following = self.lexer.next_token().map_err(|what| unsafe_code(self.record, self.lexer.line(), what))?;
        self.line_of_following = self.lexer.line();
        Ok(passed)
    }

    /// Passes a symbol if it is the current token.
    pub(super) fn take_symbol(&mut self, symbol: u8) -> Result<bool, Rejection> {
        self.take(Token::Symbol(symbol))
    }

    /// Passes a word if it is the current token.
    pub(super) fn take_word(&mut self, word: &str) -> Result<bool, Rejection> {
        let is_it = matches!(self.current, Token::Word(current) if current == word);
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    /// Passes a token if it is the current one.
    pub(super) fn take(&mut self, token: Token) -> Result<bool, Rejection> {
        let is_it = self.current == token;
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    /// Passes a symbol, which must be the current token.
    pub(super) fn expect_symbol(&mut self, symbol: u8) -> Result<(), Rejection> {
        self.expect(Token::Symbol(symbol))
    }

    /// Passes a token, which must be the current one.
    pub(super) fn expect(&mut self, token: Token) -> Result<(), Rejection> {
        if self.take(token)? { Ok(()) } else { Err(self.unexpected(&describe(token))) }
    }

    /// Passes a word, which must be the current token.
    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), Rejection> {
        if self.take_word(word)? { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    /// A name that is no keyword.
    pub(super) fn identifier(&mut self) -> Result<&'a str, Rejection> {
        match self.current {
            Token::Word(word) if !KEYWORDS.contains(&word) => {
                if word.len() > MAX_NAME {
                    return Err(self.unsafe_code(format!(
                        "has a name of {} characters; at most {MAX_NAME} are allowed",
                        word.len()
                    )));
                }
                self.advance()?;
                Ok(word)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// Passes a text in quotes and gives what stands between them.
    pub(super) fn text(&mut self) -> Result<&'a str, Rejection> {
        match self.current {
            Token::Text(text) => {
                self.advance()?;
                Ok(text)
            }
            _ => Err(self.unexpected("a text")),
        }
    }

    /// Items with commas between them, and maybe behind the last, up to the closing bracket, which is passed too.
    pub(super) fn sequence(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        while !self.take_symbol(close)? {
            item(self)?;
            if !self.take_symbol(b',')? {
                return self.expect_symbol(close);
            }
        }
        Ok(())
    }

    /// Accounts for a statement.
    pub(super) fn spend_statement(&self) -> Result<(), Rejection> {
        self.spend(&self.budget.statements, MAX_STATEMENTS, "statements")
    }

    /// Accounts for an item of a list, tuple or dictionary that is written out.
    pub(super) fn spend_item(&self) -> Result<(), Rejection> {
        self.spend(&self.budget.items, MAX_ITEMS, "items of lists, tuples and dictionaries")
    }

    fn spend(&self, left: &Cell<usize>, all: usize, what: &str) -> Result<(), Rejection> {
        let rest = left.get().checked_sub(1);
        left.set(rest.ok_or_else(|| self.unsafe_code(format!("goes beyond {all} {what} in one archive")))?);
        Ok(())
    }

    /// A type annotation: `Tensor`, `Optional[List[int]]`, `__torch__.torch.nn.modules.conv.Conv2d`.
    pub(super) fn annotation(&mut self, types: &mut Types<'a>) -> Result<TypeId, Rejection> {
        if self.take_word("NoneType")? || self.take_word("None")? {
            return Ok(Types::OTHER);
        }
        let first = self.identifier()?;
        if first == "__torch__" {
            let name = self.qualified_name(first)?;
            return Ok(types.add(Type::Named(name)));
        }
        let mut arguments = Vec::new();
        if self.take_symbol(b'[')? {
            self.sequence(b']', |cursor| {
                // The empty tuple is `Tuple[()]`.
                if cursor.take_symbol(b'(')? {
                    return cursor.expect_symbol(b')');
                }
                arguments.push(cursor.annotation(types)?);
                Ok(())
            })?;
        }
        Ok(types.generic(first, arguments))
    }

    /// The rest of a dotted name whose first part was read.
    fn qualified_name(&mut self, first: &'a str) -> Result<&'a str, Rejection> {
        let mut last = first;
        while self.take_symbol(b'.')? {
            last = self.identifier()?;
        }
        // Both are parts of one text.
        let start = first.as_ptr() as usize - self.lexer.text().as_ptr() as usize;
        let end = last.as_ptr() as usize + last.len() - self.lexer.text().as_ptr() as usize;
        let name = &self.lexer.text()[start..end];
        if name.contains([' ', '\n', '#']) || name.len() > MAX_NAME {
            return Err(self.unsafe_code("spreads a dotted name over blanks, or has one that is too long"));
        }
        Ok(name)
    }

    /// Passes the block whose first token is the current one, unread.
    pub(super) fn skip_block(&mut self) -> Result<(), Rejection> {
        self.expect(Token::Indent)?;
        let mut depth = 1;
        while depth > 0 {
            match self.advance()? {
                Token::Indent => depth += 1,
                Token::Dedent => depth -= 1,
                Token::End => return Err(self.unsafe_code("ends within a block")),
                _ => {}
            }
        }
        Ok(())
    }

    // Refusals.

    /// Source text that PyTorch's serializer never writes.
    pub(super) fn unsafe_code(&self, what: impl std::fmt::Display) -> Rejection {
        unsafe_code(self.record, self.line, what)
    }

    /// The refusal of the current line; `what` completes the sentence "Line 3 of `code/__torch__.py` …".
    pub(super) fn rejection(&self, code: Code, what: impl std::fmt::Display) -> Rejection {
        Rejection::new(code, format!("Line {} of `{}` {what}.", self.line, self.record)).at(self.record)
    }

    /// The refusal of the current token where something else must stand.
    pub(super) fn unexpected(&self, expected: &str) -> Rejection {
        self.unsafe_code(format!("has {} where {expected} is needed", describe(self.current)))
    }
}

fn unsafe_code(record: &str, line: usize, what: impl std::fmt::Display) -> Rejection {
    Rejection::new(Code::UnsafeArchive, format!("Line {line} of `{record}` {what}.")).at(record).hint(SAVE_HINT)
}

fn describe(token: Token) -> String {
    match token {
        Token::Word(word) => format!("`{}`", word.chars().take(40).collect::<String>()),
        Token::Number(_) => "a number".to_owned(),
        Token::Text(_) => "a text".to_owned(),
        Token::Symbol(symbol) => format!("`{}`", symbol as char),
        Token::Arrow => "`->`".to_owned(),
        Token::Newline => "the end of the line".to_owned(),
        Token::Indent => "an indented block".to_owned(),
        Token::Dedent => "the end of a block".to_owned(),
        Token::End => "the end of the file".to_owned(),
    }
}
