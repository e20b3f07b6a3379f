//! The bodies of functions: every call is resolved to an allowed operator or to a function of the archive.
//!
//! The grammar is what PyTorch's printer writes: assignments, `if`, `while` and `for … in range(…)`, and expressions.

use std::collections::HashMap;

use super::MAX_LOCALS;
use super::definitions::{Definition, Definitions};
use super::id::TypeId;
use super::lexer::Token;
use super::meaning::{Meaning, check_operator, refused_operator};
use super::outline::Body;
use super::reader::{BodyFindings, BodyReader};
use super::types::{Type, Types};
use crate::rejection::Rejection;

/// Names that a program may not give to a variable: the compiler would look there first.
const RESERVED: [&str; 4] = ["torch", "ops", "CONSTANTS", "__torch__"];

/// Reads the body of one function.
pub(super) fn check<'a>(
    body: Body<'a>,
    definitions: &Definitions<'a>,
    types: &mut Types<'a>,
    found: &mut BodyFindings,
) -> Result<(), Rejection> {
    let Body { cursor, function, definition, parameters } = body;
    let mut reader = BodyReader { cursor, definitions, types, found, function, definition, locals: HashMap::new() };
    for (name, annotation) in parameters {
        reader.bind(name, Meaning::Value(annotation))?;
    }
    reader.block()
}

impl<'a> BodyReader<'a, '_> {
    fn block(&mut self) -> Result<(), Rejection> {
        self.cursor.expect(Token::Indent)?;
        while !self.cursor.take(Token::Dedent)? {
            self.statement()?;
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<(), Rejection> {
        self.cursor.spend_statement()?;
        match (self.cursor.current, self.cursor.following) {
            (Token::Word("if"), _) => {
                self.cursor.advance()?;
                self.condition_and_block()?;
                if self.cursor.take_word("else")? {
                    self.cursor.expect_symbol(b':')?;
                    self.cursor.expect(Token::Newline)?;
                    self.block()?;
                }
                Ok(())
            }
            (Token::Word("while"), _) => {
                self.cursor.advance()?;
                self.condition_and_block()
            }
            (Token::Word("for"), _) => self.repetition(),
            (Token::Word("return"), _) => {
                self.cursor.advance()?;
                if self.cursor.current != Token::Newline {
                    self.values()?;
                }
                self.cursor.expect(Token::Newline)
            }
            (Token::Word("pass"), _) => {
                self.cursor.advance()?;
                self.cursor.expect(Token::Newline)
            }
            (Token::Word("with"), _) => self.context(),
            (Token::Word("def"), _) => check_operator(&self.cursor, "prim", "fork"),
            (Token::Word(_), Token::Symbol(b'=' | b',' | b':')) => self.assignment(),
            _ => {
                let target = self.expression()?;
                if self.cursor.take_symbol(b'=')? {
                    if !target.is_attribute {
                        return Err(self.cursor.unsafe_code("assigns to something that is no attribute"));
                    }
                    self.value()?;
                } else {
                    self.as_value(target.meaning)?;
                }
                self.cursor.expect(Token::Newline)
            }
        }
    }

    fn condition_and_block(&mut self) -> Result<(), Rejection> {
        self.value()?;
        self.cursor.expect_symbol(b':')?;
        self.cursor.expect(Token::Newline)?;
        self.block()
    }

    /// `with guard:`, where PyTorch's own guard switches gradients off or on.
    fn context(&mut self) -> Result<(), Rejection> {
        self.cursor.expect_word("with")?;
        let guard = self.value()?;
        let class = match *self.types.get(guard) {
            Type::Object(class) if self.definitions.is_grad_mode(class) => class,
            _ => return Err(refused_operator(&self.cursor, "prim", "Enter")),
        };
        if let Definition::Class(members) = self.definitions.get(class) {
            let around = ["__enter__", "__exit__"].into_iter().filter_map(|name| members.methods.get(name));
            self.found.calls.extend(around.map(|method| (self.function, method.id)));
        }
        if self.cursor.take_word("as")? {
            let name = self.cursor.identifier()?;
            self.bind(name, Meaning::Value(Types::OTHER))?;
        }
        self.cursor.expect_symbol(b':')?;
        self.cursor.expect(Token::Newline)?;
        self.block()
    }

    /// `for i in range(n):`
    fn repetition(&mut self) -> Result<(), Rejection> {
        self.cursor.expect_word("for")?;
        let name = self.cursor.identifier()?;
        self.cursor.expect_word("in")?;
        self.cursor.expect_word("range")?;
        self.cursor.expect_symbol(b'(')?;
        self.value()?;
        self.cursor.expect_symbol(b')')?;
        self.cursor.expect_symbol(b':')?;
        self.cursor.expect(Token::Newline)?;
        self.bind(name, Meaning::Value(Types::OTHER))?;
        self.block()
    }

    /// `x = …`, `x: Tensor = …`, `a, b, = …`, `a, b = …, …`
    fn assignment(&mut self) -> Result<(), Rejection> {
        let mut names = vec![self.cursor.identifier()?];
        let mut unpacks = false;
        while self.cursor.take_symbol(b',')? {
            unpacks = true;
            if self.cursor.current == Token::Symbol(b'=') {
                break;
            }
            names.push(self.cursor.identifier()?);
        }
        if !unpacks && self.cursor.take_symbol(b':')? {
            let annotation = self.cursor.annotation(self.types)?;
            self.cursor.expect_symbol(b'=')?;
            self.value()?;
            self.bind(names[0], Meaning::Value(annotation))?;
            return self.cursor.expect(Token::Newline);
        }
        self.cursor.expect_symbol(b'=')?;
        let mut values = self.values()?;
        self.cursor.expect(Token::Newline)?;
        if unpacks && values.len() == 1 {
            values = self.unpacked(&values[0], names.len());
        }
        if values.len() != names.len() {
            return Err(self.cursor.unsafe_code(format!("gives {} values to {} names", values.len(), names.len())));
        }
        names.into_iter().zip(values).try_for_each(|(name, value)| self.bind(name, value))
    }

    /// The types of the parts of a tuple or a list.
    fn unpacked(&mut self, whole: &Meaning<'a>, count: usize) -> Vec<Meaning<'a>> {
        let Meaning::Value(whole) = *whole else { return vec![Meaning::Value(Types::OTHER); count] };
        let parts = match self.types.get(whole) {
            Type::Tuple(parts) if parts.len() == count => parts.clone(),
            Type::Elements(element) => vec![*element; count],
            Type::Named(name) => match self.definitions.find(name).map(|id| self.definitions.get(id)) {
                Some(Definition::NamedTuple(fields)) if fields.len() == count => {
                    fields.iter().map(|&(_, annotation)| annotation).collect()
                }
                _ => vec![Types::OTHER; count],
            },
            _ => vec![Types::OTHER; count],
        };
        parts.into_iter().map(Meaning::Value).collect()
    }

    fn bind(&mut self, name: &'a str, value: Meaning<'a>) -> Result<(), Rejection> {
        if RESERVED.contains(&name) {
            return Err(self.cursor.unsafe_code(format!("gives the name `{name}` to a variable")));
        }
        if self.locals.len() > MAX_LOCALS {
            return Err(self.cursor.unsafe_code(format!("has a function of more than {MAX_LOCALS} variables")));
        }
        let value = match self.locals.get(name) {
            Some(before) if *before != value => Meaning::Value(self.either(before, &value)),
            _ => value,
        };
        self.locals.insert(name, value);
        Ok(())
    }

    /// What is known of a name that means one thing or the other, as the run has it.
    fn either(&self, one: &Meaning<'a>, other: &Meaning<'a>) -> TypeId {
        let text = |meaning: &Meaning| match *meaning {
            Meaning::Value(value) => self.types.text_bits(value).map(|bits| (bits, value)),
            _ => None,
        };
        text(one)
            .into_iter()
            .chain(text(other))
            .max_by_key(|(bits, _)| *bits)
            .map_or(Types::OTHER, |(_, longer)| longer)
    }
}
