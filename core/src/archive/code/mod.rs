//! The grammar of the source text in `code/`, checked before libtorch sees it.
//!
//! Loading an archive parses and compiles this text, and evaluates default arguments and class constants at once; running it is
//! the evaluator's, which allows operators one by one. So the text is read here first, with PyTorch's own grammar cut down
//! to what its printer writes ([`lexer`], [`outline`], [`body`], [`expression`]). What libtorch evaluates while it loads must be a [`literal`].
//! Every call is resolved, by the declared types of attributes, parameters and results, to an operator on the list ([`operators`]) or
//! to a function of the archive ([`meaning`]); whatever cannot be resolved is refused, in every body of every file, imported or not.
//! Sizes, nesting, the depth of imports and calls, and what inlining would make of a function are bounded ([`depth`]).
//! Nothing of the text is kept but names; time is linear in its length.

mod body;
mod cursor;
mod definitions;
mod depth;
mod expression;
mod id;
mod lexer;
mod literal;
mod meaning;
mod operators;
mod outline;
mod reader;
mod types;

#[cfg(test)]
mod tests;

use self::cursor::Budget;
use self::definitions::Definition;
use self::depth::{Extent, Recursion, depth_of_imports, extent_of_calls};
use self::id::TypeId;
use self::outline::Outline;
use self::reader::BodyFindings;
use self::types::{Type, Types};
use crate::rejection::{Code, QUANTIZED_HINT, Rejection};

/// Classes, named tuples, enumerations and free functions of an archive.
pub(super) const MAX_DEFINITIONS: usize = 20_000;
/// Methods and free functions.
pub(super) const MAX_FUNCTIONS: usize = 50_000;
/// Variables of one function; libtorch's compiler takes time that grows with their square.
pub(super) const MAX_LOCALS: usize = 20_000;
/// Statements of all files; the largest network in docs/coverage.md has 16 000.
pub(super) const MAX_STATEMENTS: usize = 100_000;
/// Items of all lists, tuples and dictionaries that are written out, and literals.
pub(super) const MAX_ITEMS: usize = 200_000;
/// Bytes of a text that operators make of other texts, as a power of two: libtorch computes it while it compiles.
pub(super) const MAX_TEXT_BITS: u32 = 20;
/// Attributes, calls and subscripts behind each other in one expression.
pub(super) const MAX_CHAIN: usize = 200;
/// Functions that call each other in a chain.
pub(super) const MAX_CALL_DEPTH: usize = 200;
/// Definitions that need each other in a chain.
pub(super) const MAX_IMPORT_DEPTH: usize = 400;
/// Calls of a function with those of all functions that it calls.
pub(super) const MAX_INLINED: u64 = 1_000_000;
/// Characters of a name.
const MAX_NAME: usize = 1024;

/// What to do about source text that PyTorch does not write.
const SAVE_HINT: &str = "Upload the file as `torch.jit.save` wrote it.";

/// One source file: its record and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceFile<'a> {
    /// `code/__torch__/net.py`
    pub record: &'a str,
    pub text: &'a str,
}

/// Refuses the source files of an archive unless every rule of this module holds.
pub(super) fn check(sources: &[SourceFile]) -> Result<(), Rejection> {
    sources.iter().try_for_each(check_words)?;
    let budget = Budget::new();
    let mut outline = Outline::new();
    for source in sources {
        outline.read(source.text, source.record, &budget)?;
    }
    check_references(&outline)?;
    let Outline { definitions, mut types, bodies, named, .. } = outline;
    let places: Vec<_> = bodies.iter().map(|body| body.cursor.record).collect();
    let mut found = BodyFindings { sizes: vec![1; definitions.functions()], ..BodyFindings::default() };
    for body in bodies {
        body::check(body, &definitions, &mut types, &mut found)?;
    }

    let calls: Vec<(u32, u32)> = found.calls.iter().map(|(caller, callee)| (caller.0, callee.0)).collect();
    match extent_of_calls(&found.sizes, &calls) {
        Err(Recursion(function)) => Err(Rejection::new(
            Code::UnsupportedModel,
            format!("A function in `{}` calls itself; TorchScript has no recursion.", places[function]),
        )
        .at(places[function])),
        Ok(Extent { depth, .. }) if depth > MAX_CALL_DEPTH => Err(too_much(format!(
            "functions call each other in a chain of {depth}; at most {MAX_CALL_DEPTH} are allowed"
        ))),
        Ok(Extent { inlined, .. }) if inlined > MAX_INLINED => Err(too_much(format!(
            "a function makes {inlined} calls with those of all functions that it calls; at most {MAX_INLINED} are allowed"
        ))),
        Ok(_) => Ok(()),
    }?;
    let mut uses: Vec<(u32, u32)> = found.uses.iter().map(|(user, used)| (user.0, used.0)).collect();
    for (user, annotation) in named {
        add_named(&types, annotation, &mut |name| {
            uses.extend(definitions.find(name).map(|used| (user.0, used.0)));
        });
    }
    uses.sort_unstable();
    uses.dedup();
    let depth = depth_of_imports(definitions.len(), &uses);
    if depth > MAX_IMPORT_DEPTH {
        return Err(too_much(format!(
            "classes and functions need each other in a chain of {depth}; at most {MAX_IMPORT_DEPTH} are allowed"
        )));
    }
    Ok(())
}

fn too_much(what: String) -> Rejection {
    Rejection::new(Code::UnsafeArchive, format!("The source files are too deep or too large: {what}.")).at("code/")
}

/// Calls `add` with every name in a type.
fn add_named(types: &Types, annotation: TypeId, add: &mut impl FnMut(&str)) {
    match types.get(annotation) {
        Type::Named(name) => add(name),
        Type::Elements(element) => add_named(types, *element, add),
        Type::Tuple(parts) => parts.iter().for_each(|&part| add_named(types, part, add)),
        Type::Other | Type::Object(_) | Type::Text(_) => {}
    }
}

/// What a literal names must be a member of an enumeration, a free function or a named tuple.
fn check_references(outline: &Outline) -> Result<(), Rejection> {
    for reference in &outline.references {
        let definition = |name: &str| outline.definitions.find(name).map(|id| outline.definitions.get(id));
        let is_literal = if reference.is_call {
            matches!(definition(&reference.name), Some(Definition::NamedTuple(_)))
        } else {
            let member = reference.name.rsplit_once('.').and_then(|(class, name)| Some((definition(class)?, name)));
            matches!(member, Some((Definition::Enumeration(members), name)) if members.contains(name))
                || matches!(definition(&reference.name), Some(Definition::Function(_)))
        };
        if !is_literal {
            return Err(literal::refused(&reference.cursor));
        }
    }
    Ok(())
}

/// Networks that were saved after a step that cannot be undone, told by words that only they have: what to do about these
/// says more than the refusal of the operator or the class that comes first in the file.
fn check_words(source: &SourceFile) -> Result<(), Rejection> {
    let SourceFile { record, text } = *source;
    let has = |word: &str| text.contains(word);
    let rejection = |code, what: &str| Rejection::new(code, format!("`{record}` {what}.")).at(record);
    if has("ops.quantized") || has("torch.classes.quantized") {
        return Err(
            rejection(Code::UnsupportedDtype, "has quantized layers; a float32 model is needed").hint(QUANTIZED_HINT)
        );
    }
    if has("MKLDNN") || has("mkldnn_") || has("ops.mkldnn") || has("ops.prepacked") || has("ops.mkl.") {
        return Err(rejection(
            Code::UnsupportedModel,
            "has layers that were packed for one kind of processor; plain layers are needed",
        )
        .hint("Save the model before `torch.jit.optimize_for_inference` or `optimize_for_mobile`, not after."));
    }
    if has("__torch__.torch.classes") {
        return Err(rejection(Code::UnsafeArchive, "uses a custom C++ class; classes of TorchScript are allowed")
            .hint("Store nothing but parameters, buffers and plain attributes in the model."));
    }
    Ok(())
}
