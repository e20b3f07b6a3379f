//! The outline of the source files: every definition with the types of its attributes, parameters and results.
//!
//! Literals are checked on the way; bodies are remembered and read afterwards, when all names are known.

use std::collections::HashSet;

use super::cursor::{Budget, Cursor};
use super::definitions::{Class, Definition, Definitions};
use super::id::{DefinitionId, FunctionId, TypeId};
use super::lexer::Token;
use super::literal::{LiteralReference, literal};
use super::types::{Type, Types};
use super::{MAX_DEFINITIONS, MAX_FUNCTIONS};
use crate::rejection::Rejection;

/// What the files of an archive say, but for the bodies of functions.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    pub definitions: Definitions<'a>,
    pub types: Types<'a>,
    pub bodies: Vec<Body<'a>>,
    /// What literals name.
    pub references: Vec<LiteralReference<'a>>,
    /// Types that a definition names: libtorch imports them with it.
    pub named: Vec<(DefinitionId, TypeId)>,
}

/// A function whose body was not read yet.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// At the first token of the body.
    pub cursor: Cursor<'a>,
    pub function: FunctionId,
    /// The class, or the function itself where it is free.
    pub definition: DefinitionId,
    pub parameters: Vec<(&'a str, TypeId)>,
}

struct Signature<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, TypeId)>,
    returns: TypeId,
}

impl<'a> Outline<'a> {
    /// An outline without definitions.
    pub(super) fn new() -> Self {
        Self {
            definitions: Definitions::default(),
            types: Types::new(),
            bodies: Vec::new(),
            references: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Adds what the file of the record `code/__torch__/net.py` defines, as `__torch__.net.…`.
    pub(super) fn read(&mut self, text: &'a str, record: &'a str, budget: &'a Budget) -> Result<(), Rejection> {
        let module = record.strip_prefix("code/").unwrap_or(record);
        let module = module.strip_suffix(".py").unwrap_or(module).replace('/', ".");
        let mut cursor = Cursor::new(text, record, budget)?;
        if cursor.take_word("op_version_set")? {
            // Files of PyTorch 1.4 and older.
            cursor.expect_symbol(b'=')?;
            match cursor.advance()? {
                Token::Number(_) => cursor.expect(Token::Newline)?,
                _ => return Err(cursor.unexpected("a version number")),
            }
        }
        loop {
            match cursor.current {
                Token::Word("class") => self.class(&mut cursor, &module)?,
                Token::Word("def") => self.free_function(&mut cursor, &module)?,
                Token::Word("import") => import(&mut cursor)?,
                Token::End => return Ok(()),
                _ => return Err(cursor.unexpected("a class or a function")),
            }
        }
    }

    fn add(&mut self, cursor: &Cursor, name: String, definition: Definition<'a>) -> Result<DefinitionId, Rejection> {
        if self.definitions.len() == MAX_DEFINITIONS || self.definitions.functions() > MAX_FUNCTIONS {
            return Err(cursor.unsafe_code(format!(
                "goes beyond {MAX_DEFINITIONS} classes and functions or {MAX_FUNCTIONS} methods in one archive"
            )));
        }
        let refusal = cursor.unsafe_code(format!("defines `{name}` a second time"));
        self.definitions.add(name, definition).ok_or(refusal)
    }

    fn free_function(&mut self, cursor: &mut Cursor<'a>, module: &str) -> Result<(), Rejection> {
        let Signature { name, parameters, returns } = self.signature(cursor, None)?;
        let function = self.definitions.new_function(returns);
        let definition = self.add(cursor, format!("{module}.{name}"), Definition::Function(function))?;
        self.named.extend(parameters.iter().map(|&(_, annotation)| (definition, annotation)));
        self.named.push((definition, returns));
        self.bodies.push(Body { cursor: cursor.clone(), function: function.id, definition, parameters });
        cursor.skip_block()
    }

    fn class(&mut self, cursor: &mut Cursor<'a>, module: &str) -> Result<(), Rejection> {
        cursor.expect_word("class")?;
        let name = format!("{module}.{}", cursor.identifier()?);
        let mut kind = None;
        if cursor.take_symbol(b'(')? {
            kind = Some(cursor.identifier()?);
            cursor.expect_symbol(b')')?;
        }
        let empty = match kind {
            None | Some("Module" | "Interface" | "ModuleInterface") => Definition::Class(Class::default()),
            Some("NamedTuple") => Definition::NamedTuple(Vec::new()),
            Some("Enum") => Definition::Enumeration(HashSet::new()),
            Some(other) => return Err(cursor.unsafe_code(format!("has a class that is a `{other}`"))),
        };
        let id = self.add(cursor, name, empty)?;
        cursor.expect_symbol(b':')?;
        cursor.expect(Token::Newline)?;
        cursor.expect(Token::Indent)?;
        while !cursor.take(Token::Dedent)? {
            self.member(cursor, id)?;
        }
        Ok(())
    }

    fn member(&mut self, cursor: &mut Cursor<'a>, class: DefinitionId) -> Result<(), Rejection> {
        cursor.spend_statement()?;
        match cursor.current {
            Token::Word("def") => return self.method(cursor, class),
            Token::Word("pass") => {
                cursor.advance()?;
                return cursor.expect(Token::Newline);
            }
            _ => {}
        }
        let name = cursor.identifier()?;
        match (name, cursor.advance()?) {
            ("__annotations__", Token::Symbol(b'=')) => {
                cursor.expect_symbol(b'[')?;
                cursor.expect_symbol(b']')?;
            }
            // An attribute whose name is no identifier, the `0` of a sequence.
            ("__annotations__", Token::Symbol(b'[')) => {
                let name = cursor.text()?;
                cursor.expect_symbol(b']')?;
                cursor.expect_symbol(b'=')?;
                let annotation = cursor.annotation(&mut self.types)?;
                self.attribute(cursor, class, name, annotation)?;
            }
            ("__parameters__" | "__buffers__" | "__forward_hooks__" | "__forward_pre_hooks__", Token::Symbol(b'=')) => {
                cursor.expect_symbol(b'[')?;
                cursor.sequence(b']', |cursor| {
                    cursor.spend_item()?;
                    cursor.text().map(drop)
                })?;
            }
            (_, Token::Symbol(b':')) => {
                let annotation = cursor.annotation(&mut self.types)?;
                self.attribute(cursor, class, name, annotation)?;
                if cursor.take_symbol(b'=')? {
                    literal(cursor, &mut self.types, &mut self.references)?;
                }
            }
            (_, Token::Symbol(b'=')) => {
                literal(cursor, &mut self.types, &mut self.references)?;
                let refusal = cursor.unsafe_code(format!("sets `{name}` of a class without saying its type"));
                match self.definitions.get_mut(class) {
                    Definition::Enumeration(members) => {
                        members.insert(name);
                    }
                    _ => return Err(refusal),
                }
            }
            _ => return Err(cursor.unexpected("an attribute, a constant or a method")),
        }
        cursor.expect(Token::Newline)
    }

    fn attribute(
        &mut self,
        cursor: &Cursor,
        class: DefinitionId,
        name: &'a str,
        annotation: TypeId,
    ) -> Result<(), Rejection> {
        self.named.push((class, annotation));
        let is_new = match self.definitions.get_mut(class) {
            Definition::Class(class) => class.attributes.insert(name, annotation).is_none(),
            Definition::NamedTuple(fields) => {
                fields.push((name, annotation));
                true
            }
            Definition::Enumeration(_) | Definition::Function(_) => false,
        };
        if is_new { Ok(()) } else { Err(cursor.unsafe_code(format!("declares the attribute `{name}` a second time"))) }
    }

    fn method(&mut self, cursor: &mut Cursor<'a>, id: DefinitionId) -> Result<(), Rejection> {
        let Signature { name, parameters, returns } = self.signature(cursor, Some(id))?;
        if matches!(name, "__setstate__" | "__getstate__") {
            return Err(cursor
                .unsafe_code("defines `__setstate__` or `__getstate__`, which run while the model is loaded")
                .hint("Remove both methods from the module and save it again."));
        }
        let function = self.definitions.new_function(returns);
        if self.definitions.functions() > MAX_FUNCTIONS {
            return Err(cursor.unsafe_code(format!("goes beyond {MAX_FUNCTIONS} methods in one archive")));
        }
        self.named.extend(parameters.iter().map(|&(_, annotation)| (id, annotation)));
        self.named.push((id, returns));
        let is_new = match self.definitions.get_mut(id) {
            Definition::Class(class) => class.methods.insert(name, function).is_none(),
            _ => return Err(cursor.unsafe_code("has a method in an enumeration or a named tuple")),
        };
        if !is_new {
            return Err(cursor.unsafe_code(format!("defines the method `{name}` a second time")));
        }
        self.bodies.push(Body { cursor: cursor.clone(), function: function.id, definition: id, parameters });
        cursor.skip_block()
    }

    /// `def name(self, x: Tensor, y: int=3) -> Tensor:` and the newline behind it.
    fn signature(&mut self, cursor: &mut Cursor<'a>, class: Option<DefinitionId>) -> Result<Signature<'a>, Rejection> {
        cursor.expect_word("def")?;
        let name = cursor.identifier()?;
        cursor.expect_symbol(b'(')?;
        let mut parameters: Vec<(&str, TypeId)> = Vec::new();
        cursor.sequence(b')', |cursor| {
            let name = cursor.identifier()?;
            let annotation = match class {
                _ if cursor.take_symbol(b':')? => cursor.annotation(&mut self.types)?,
                Some(class) if parameters.is_empty() => self.types.add(Type::Object(class)),
                _ => Types::OTHER,
            };
            if cursor.take_symbol(b'=')? {
                literal(cursor, &mut self.types, &mut self.references)?;
            }
            parameters.push((name, annotation));
            Ok(())
        })?;
        let returns = if cursor.take(Token::Arrow)? { cursor.annotation(&mut self.types)? } else { Types::OTHER };
        cursor.expect_symbol(b':')?;
        cursor.expect(Token::Newline)?;
        Ok(Signature { name, parameters, returns })
    }
}

/// Files of PyTorch 1.4 and older say what they import; PyTorch passes it over, as is done here.
fn import(cursor: &mut Cursor) -> Result<(), Rejection> {
    cursor.expect_word("import")?;
    cursor.identifier()?;
    while cursor.take_symbol(b'.')? {
        cursor.identifier()?;
    }
    cursor.expect(Token::Newline)
}
