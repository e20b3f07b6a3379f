//! Expressions: calls, attributes, subscripts, displays and literals, and what each of them means.
//!
//! There are no operators between operands (the printer writes `torch.add(a, b)`), so nothing is called that is not written as a
//! call, but for what a subscript does, which is on the list of operators.

use super::definitions::{Definition, Function};
use super::id::{DefinitionId, TypeId};
use super::lexer::Token;
use super::literal::constant;
use super::meaning::{self, Form, Meaning, check_operator, refused_operator};
use super::operators;
use super::reader::BodyReader;
use super::types::{Type, Types};
use super::{MAX_CHAIN, MAX_TEXT_BITS};
use crate::rejection::{Code, Rejection};

/// What PyTorch's guards do to the thread, and nothing else may.
const SETS_GRAD_MODE: &str = "set_grad_enabled";

/// An expression that was read.
pub(super) struct Expression<'a> {
    pub(super) meaning: Meaning<'a>,
    /// Whether it ends in `.name`, so that it can be assigned to.
    pub(super) is_attribute: bool,
}

impl<'a> BodyReader<'a, '_> {
    /// Values with commas between them.
    pub(super) fn values(&mut self) -> Result<Vec<Meaning<'a>>, Rejection> {
        let mut values = vec![self.meaning_of_value()?];
        while self.cursor.take_symbol(b',')? {
            if matches!(self.cursor.current, Token::Newline | Token::Symbol(b')')) {
                break;
            }
            values.push(self.meaning_of_value()?);
        }
        Ok(values)
    }

    /// An expression that is a value.
    pub(super) fn value(&mut self) -> Result<TypeId, Rejection> {
        let meaning = self.expression()?.meaning;
        self.as_value(meaning)
    }

    /// The type of a meaning that must be a value.
    pub(super) fn as_value(&mut self, meaning: Meaning<'a>) -> Result<TypeId, Rejection> {
        match meaning {
            Meaning::Value(value) => Ok(value),
            // A function is a constant of the program that may be passed on.
            Meaning::Function(_) => Ok(Types::OTHER),
            Meaning::Operator(namespace, name) => {
                check_operator(&self.cursor, namespace, name)?;
                Err(self.cursor.unsafe_code(format!("uses the operator `{namespace}::{name}` other than to call it")))
            }
            Meaning::Path(path) => Err(self
                .cursor
                .rejection(Code::DamagedArchive, format!("uses `{path}`, which the archive does not define"))),
            Meaning::Ops | Meaning::Namespace(_) => {
                Err(self.cursor.unsafe_code("uses `ops` other than to call `ops.namespace.operator`"))
            }
            Meaning::Torch | Meaning::Constants | Meaning::Class(_) | Meaning::Maker(_) | Meaning::Form(_) => {
                Err(self.cursor.unsafe_code("uses a part of the language as a value"))
            }
        }
    }

    /// A value, or a function that a variable may hold.
    fn meaning_of_value(&mut self) -> Result<Meaning<'a>, Rejection> {
        match self.expression()?.meaning {
            Meaning::Function(function) => Ok(Meaning::Function(function)),
            other => self.as_value(other).map(Meaning::Value),
        }
    }

    /// Reads an expression, whatever it stands for.
    pub(super) fn expression(&mut self) -> Result<Expression<'a>, Rejection> {
        let mut meaning = self.atom()?;
        let mut is_attribute = false;
        for _ in 0..MAX_CHAIN {
            let link = self.cursor.current;
            if !matches!(link, Token::Symbol(b'.' | b'(' | b'[')) {
                return Ok(Expression { meaning, is_attribute });
            }
            self.cursor.advance()?;
            is_attribute = link == Token::Symbol(b'.');
            meaning = match link {
                Token::Symbol(b'.') => self.member(meaning)?,
                Token::Symbol(b'(') => self.call(meaning)?,
                _ => {
                    let of = self.as_value(meaning)?;
                    Meaning::Value(self.subscript(of)?)
                }
            };
        }
        Err(self.cursor.unsafe_code(format!("has an expression of more than {MAX_CHAIN} links in a chain")))
    }

    fn atom(&mut self) -> Result<Meaning<'a>, Rejection> {
        let other = Ok(Meaning::Value(Types::OTHER));
        match self.cursor.current {
            Token::Number(_) | Token::Word("True" | "False" | "None") => {
                self.cursor.advance()?;
                other
            }
            Token::Text(_) => {
                let mut bytes = 0;
                while let Token::Text(text) = self.cursor.current {
                    bytes += text.len() as u64;
                    self.cursor.advance()?;
                }
                Ok(Meaning::Value(self.text_of(bytes)?))
            }
            Token::Symbol(b'-') => {
                self.cursor.advance()?;
                match self.cursor.current {
                    Token::Number(_) | Token::Word("inf" | "nan") => {
                        self.cursor.advance()?;
                        other
                    }
                    _ => Err(self.cursor.unexpected("a number")),
                }
            }
            Token::Symbol(b'(') => {
                self.cursor.advance()?;
                if self.cursor.take_symbol(b')')? {
                    return other;
                }
                // In parentheses may stand a value or the name of a class: `(self.conv).forward(x)`.
                let first = self.expression()?.meaning;
                if self.cursor.take_symbol(b')')? {
                    return Ok(first);
                }
                let mut parts = vec![self.as_value(first)?];
                self.cursor.expect_symbol(b',')?;
                self.sequence(b')', |reader| {
                    reader.cursor.spend_item()?;
                    parts.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Meaning::Value(self.types.generic("Tuple", parts)))
            }
            Token::Symbol(b'[') => {
                self.cursor.advance()?;
                self.sequence(b']', |reader| {
                    reader.cursor.spend_item()?;
                    reader.value().map(drop)
                })?;
                other
            }
            Token::Symbol(b'{') => {
                self.cursor.advance()?;
                self.sequence(b'}', |reader| {
                    reader.cursor.spend_item()?;
                    reader.value()?;
                    reader.cursor.expect_symbol(b':')?;
                    reader.value().map(drop)
                })?;
                other
            }
            _ => {
                let name = self.cursor.identifier()?;
                match self.locals.get(name) {
                    Some(local) => Ok(local.clone()),
                    None => meaning::of_name(&self.cursor, name),
                }
            }
        }
    }

    /// [`Cursor::sequence`] of something that this reader reads.
    fn sequence(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        while !self.cursor.take_symbol(close)? {
            item(self)?;
            if !self.cursor.take_symbol(b',')? {
                return self.cursor.expect_symbol(close);
            }
        }
        Ok(())
    }

    /// What follows a dot.
    fn member(&mut self, of: Meaning<'a>) -> Result<Meaning<'a>, Rejection> {
        if of == Meaning::Constants {
            constant(&mut self.cursor)?;
            return Ok(Meaning::Value(Types::OTHER));
        }
        let name = self.cursor.identifier()?;
        let meaning = meaning::of_member(&self.cursor, self.definitions, self.types, of, name)?;
        if let Meaning::Class(used) = meaning {
            self.found.uses.push((self.definition, used));
        }
        Ok(meaning)
    }

    /// The arguments of a call whose bracket was passed.
    fn call(&mut self, of: Meaning<'a>) -> Result<Meaning<'a>, Rejection> {
        self.found.sizes[self.function.0 as usize] += 1;
        let returns = match of {
            Meaning::Operator(namespace, name) => {
                if name == SETS_GRAD_MODE && !self.definitions.is_grad_mode(self.definition) {
                    return Err(refused_operator(&self.cursor, namespace, name));
                }
                check_operator(&self.cursor, namespace, name)?;
                let arguments = self.operands(name)?;
                match name {
                    // The only operator that gives back an object.
                    "_unwrap_optional" => arguments.first().copied().unwrap_or(Types::OTHER),
                    _ => self.text_made_of(name, &arguments)?,
                }
            }
            Meaning::Function(Function { id, returns }) => {
                self.found.calls.push((self.function, id));
                self.arguments()?;
                returns
            }
            Meaning::Class(class) => match self.definitions.get(class) {
                Definition::NamedTuple(_) => {
                    self.arguments()?;
                    self.types.add(Type::Object(class))
                }
                _ => return Err(refused_operator(&self.cursor, "prim", "CreateObject")),
            },
            // `C.__new__(C)`
            Meaning::Maker(class) => {
                let named = self.expression()?.meaning;
                self.cursor.expect_symbol(b')')?;
                if named != Meaning::Class(class) {
                    return Err(self.cursor.unsafe_code("makes an object of another class than the one it names"));
                }
                self.types.add(Type::Object(class))
            }
            Meaning::Form(form) => self.form(form)?,
            other => {
                self.as_value(other)?;
                return Err(self.cursor.unsafe_code("calls a value that is no function of the archive"));
            }
        };
        Ok(Meaning::Value(returns))
    }

    /// The arguments of an operator. None may be written to, but where PyTorch's own Python code has `out` in a branch.
    fn operands(&mut self, operator: &str) -> Result<Vec<TypeId>, Rejection> {
        self.named_arguments(|reader, name| match name {
            "out" if !operators::may_have_out(operator) => {
                Err(reader.cursor.unsafe_code(format!("has `{operator}` write into one of its arguments (`out=`)")))
            }
            _ => Ok(()),
        })
    }

    /// Arguments with or without names, up to the closing bracket.
    fn arguments(&mut self) -> Result<Vec<TypeId>, Rejection> {
        self.named_arguments(|_, _| Ok(()))
    }

    fn named_arguments(
        &mut self,
        check_name: impl Fn(&Self, &str) -> Result<(), Rejection>,
    ) -> Result<Vec<TypeId>, Rejection> {
        let mut arguments = Vec::new();
        self.sequence(b')', |reader| {
            if let (Token::Word(_), Token::Symbol(b'=')) = (reader.cursor.current, reader.cursor.following) {
                let name = reader.cursor.identifier()?;
                check_name(reader, name)?;
                reader.cursor.expect_symbol(b'=')?;
            }
            arguments.push(reader.value()?);
            Ok(())
        })?;
        Ok(arguments)
    }

    /// What an operator makes of known texts: their lengths together, or multiplied where one is put into another again and again.
    fn text_made_of(&mut self, operator: &str, arguments: &[TypeId]) -> Result<TypeId, Rejection> {
        let texts = arguments.iter().map_while(|&argument| self.types.text_bits(argument));
        let bytes: Vec<u64> = texts.map(|bits| 1 << bits).collect();
        let are_all_texts = bytes.len() == arguments.len();
        match operator {
            "str" | "lower" | "upper" | "strip" | "add" if are_all_texts => self.text_of(bytes.iter().sum()),
            "format" if !bytes.is_empty() => self.text_of(bytes.iter().sum()),
            "replace" if are_all_texts => {
                self.text_of(bytes.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor)))
            }
            _ => Ok(Types::OTHER),
        }
    }

    fn text_of(&mut self, bytes: u64) -> Result<TypeId, Rejection> {
        let bits = u64::BITS - bytes.leading_zeros();
        if bits > MAX_TEXT_BITS + 1 {
            return Err(self.cursor.unsafe_code(format!("makes a text of more than {} bytes", 1 << MAX_TEXT_BITS)));
        }
        Ok(self.types.add(Type::Text(bits)))
    }

    fn form(&mut self, form: Form) -> Result<TypeId, Rejection> {
        match form {
            Form::Annotate => {
                let annotation = self.cursor.annotation(self.types)?;
                self.cursor.expect_symbol(b',')?;
                let value = self.value()?;
                self.cursor.expect_symbol(b')')?;
                Ok(if self.types.text_bits(value).is_some() { value } else { annotation })
            }
            Form::Uninitialized => {
                let annotation = self.cursor.annotation(self.types)?;
                self.cursor.expect_symbol(b')')?;
                Ok(annotation)
            }
            Form::Isinstance => {
                self.value()?;
                self.cursor.expect_symbol(b',')?;
                if self.cursor.take_symbol(b'(')? {
                    let types = &mut *self.types;
                    self.cursor.sequence(b')', |cursor| cursor.annotation(types).map(drop))?;
                } else {
                    self.cursor.annotation(self.types)?;
                }
                self.cursor.expect_symbol(b')')?;
                Ok(Types::OTHER)
            }
            Form::Getattr => {
                let of = self.value()?;
                self.cursor.expect_symbol(b',')?;
                let name = self.cursor.text()?;
                self.cursor.expect_symbol(b')')?;
                match meaning::of_member(&self.cursor, self.definitions, self.types, Meaning::Value(of), name)? {
                    Meaning::Value(value) => Ok(value),
                    _ => Err(self.cursor.unsafe_code(format!("takes `{name}`, which is no attribute, by `getattr`"))),
                }
            }
            Form::Print => self.arguments().map(|_| Types::OTHER),
            Form::Cast(name) => {
                check_operator(&self.cursor, "aten", name)?;
                let arguments = self.arguments()?;
                self.text_made_of(name, &arguments)
            }
        }
    }

    /// `x[0]`, `x[1:3]` behind the bracket.
    fn subscript(&mut self, of: TypeId) -> Result<TypeId, Rejection> {
        self.found.sizes[self.function.0 as usize] += 1;
        let position = match self.cursor.current {
            Token::Number(number) => number.parse::<usize>().ok(),
            _ => None,
        };
        self.value()?;
        if self.cursor.take_symbol(b':')? {
            self.value()?;
            self.cursor.expect_symbol(b']')?;
            return Ok(Types::OTHER);
        }
        self.cursor.expect_symbol(b']')?;
        Ok(match (self.types.get(of), position) {
            (Type::Tuple(parts), Some(position)) => parts.get(position).copied().unwrap_or(Types::OTHER),
            (Type::Elements(element), _) => *element,
            (&Type::Object(class), _) => self.getitem_of(class),
            (Type::Named(name), _) => self.definitions.find(name).map_or(Types::OTHER, |class| self.getitem_of(class)),
            _ => Types::OTHER,
        })
    }

    /// What the method `__getitem__` of a class gives back; it is a function of the archive like any other.
    fn getitem_of(&self, class: DefinitionId) -> TypeId {
        match self.definitions.get(class) {
            Definition::Class(class) => class.methods.get("__getitem__").map_or(Types::OTHER, |method| method.returns),
            _ => Types::OTHER,
        }
    }
}
