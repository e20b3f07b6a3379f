//! Where the reading of a function's body stands: what is known before it, and what was found up to now.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::definitions::Definitions;
use super::id::{DefinitionId, FunctionId};
use super::meaning::Meaning;
use super::types::Types;

/// What was found in all bodies.
#[derive(Debug, Default)]
pub(super) struct BodyFindings {
    /// Caller and callee, once for each call that is written.
    pub calls: Vec<(FunctionId, FunctionId)>,
    /// A definition and another one that libtorch imports when it compiles it.
    pub uses: Vec<(DefinitionId, DefinitionId)>,
    /// Calls and subscripts of each function.
    pub sizes: Vec<u64>,
}

/// The state of reading one body; `body` reads its statements and `expression` the expressions in them.
pub(super) struct BodyReader<'a, 'c> {
    pub(super) cursor: Cursor<'a>,
    pub(super) definitions: &'c Definitions<'a>,
    pub(super) types: &'c mut Types<'a>,
    pub(super) found: &'c mut BodyFindings,
    pub(super) function: FunctionId,
    pub(super) definition: DefinitionId,
    pub(super) locals: HashMap<&'a str, Meaning<'a>>,
}
