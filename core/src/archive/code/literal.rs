//! Literals: what may stand where libtorch evaluates an expression *while it loads a file*.
//!
//! These places are default arguments, class constants, fields of named tuples and members of enumerations. A literal is a
//! number, a text, `None`, `True`, `False`, a constant of the archive (`CONSTANTS.c0`), a device, and lists, tuples and dictionaries of
//! literals. A member of an enumeration and a named tuple are literals too; which names these are is known once the whole archive was
//! read, so they are handed back as [`LiteralReference`]s.

use super::cursor::Cursor;
use super::lexer::Token;
use super::types::Types;
use crate::rejection::Rejection;

/// Something of the archive that a literal names.
#[derive(Debug)]
pub(super) struct LiteralReference<'a> {
    pub name: String,
    /// `Point(1, 2)` in contrast to `Color.RED`.
    pub is_call: bool,
    /// Where it stands, for a refusal.
    pub cursor: Cursor<'a>,
}

/// Passes a literal; adds what it names to `references`.
pub(super) fn literal<'a>(
    cursor: &mut Cursor<'a>,
    types: &mut Types<'a>,
    references: &mut Vec<LiteralReference<'a>>,
) -> Result<(), Rejection> {
    cursor.spend_item()?;
    match cursor.current {
        Token::Number(_) | Token::Word("True" | "False" | "None" | "inf" | "nan") => cursor.advance().map(drop),
        Token::Text(_) => {
            while let Token::Text(_) = cursor.current {
                cursor.advance()?;
            }
            Ok(())
        }
        Token::Symbol(b'-') => {
            cursor.advance()?;
            match cursor.current {
                Token::Number(_) | Token::Word("inf" | "nan") => cursor.advance().map(drop),
                _ => Err(cursor.unexpected("a number")),
            }
        }
        Token::Symbol(b'[') => {
            cursor.advance()?;
            cursor.sequence(b']', |cursor| literal(cursor, types, references))
        }
        Token::Symbol(b'(') => {
            cursor.advance()?;
            cursor.sequence(b')', |cursor| literal(cursor, types, references))
        }
        Token::Symbol(b'{') => {
            cursor.advance()?;
            cursor.sequence(b'}', |cursor| {
                literal(cursor, types, references)?;
                cursor.expect_symbol(b':')?;
                literal(cursor, types, references)
            })
        }
        Token::Word("CONSTANTS") => {
            cursor.advance()?;
            cursor.expect_symbol(b'.')?;
            constant(cursor)
        }
        Token::Word("annotate") => {
            cursor.advance()?;
            cursor.expect_symbol(b'(')?;
            cursor.annotation(types)?;
            cursor.expect_symbol(b',')?;
            literal(cursor, types, references)?;
            cursor.expect_symbol(b')')
        }
        Token::Word("torch") => device(cursor),
        Token::Word("__torch__") => reference(cursor, types, references),
        _ => Err(refused(cursor)),
    }
}

/// Passes the `c0` of `CONSTANTS.c0`.
pub(super) fn constant(cursor: &mut Cursor) -> Result<(), Rejection> {
    let is_constant = |name: &str| {
        name.strip_prefix('c')
            .is_some_and(|number| (1..=9).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match cursor.current {
        Token::Word(name) if is_constant(name) => cursor.advance().map(drop),
        _ => Err(cursor.unexpected("the name of a constant such as `c0`")),
    }
}

/// Passes `torch.device("cpu")`.
fn device(cursor: &mut Cursor) -> Result<(), Rejection> {
    let refusal = refused(cursor);
    cursor.advance()?;
    if !cursor.take_symbol(b'.')? || !cursor.take_word("device")? || !cursor.take_symbol(b'(')? {
        return Err(refusal);
    }
    let name = cursor.text()?;
    if !name.bytes().all(|byte| byte == b':' || byte.is_ascii_alphanumeric()) {
        return Err(refusal);
    }
    cursor.expect_symbol(b')')
}

/// Passes `__torch__.Color.RED` or `__torch__.Point(1, 2)`.
fn reference<'a>(
    cursor: &mut Cursor<'a>,
    types: &mut Types<'a>,
    references: &mut Vec<LiteralReference<'a>>,
) -> Result<(), Rejection> {
    let start = cursor.clone();
    cursor.advance()?;
    let mut name = "__torch__".to_owned();
    while cursor.take_symbol(b'.')? {
        name.push('.');
        name.push_str(cursor.identifier()?);
    }
    let is_call = cursor.take_symbol(b'(')?;
    references.push(LiteralReference { name, is_call, cursor: start });
    if is_call {
        cursor.sequence(b')', |cursor| literal(cursor, types, references))?;
    }
    Ok(())
}

/// The refusal of anything that is no literal.
pub(super) fn refused(cursor: &Cursor) -> Rejection {
    cursor.unsafe_code(
        "computes a default argument or a class constant, which libtorch would do while it loads the file; \
         only literals and `CONSTANTS` may stand there",
    )
}
