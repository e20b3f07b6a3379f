//! What an expression of source text stands for, before the program runs.

use super::cursor::Cursor;
use super::definitions::{Definition, Definitions, Function};
use super::id::{DefinitionId, TypeId};
use super::types::{Type, Types};
use super::{MAX_NAME, operators};
use crate::rejection::{Code, Rejection};

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// Something that the program computes or reads.
    Value(TypeId),
    /// `torch`, whose members are the operators `aten::…`.
    Torch,
    /// `ops`, whose members are the namespaces of operators.
    Ops,
    /// `ops.prim`
    Namespace(&'a str),
    Operator(&'a str, &'a str),
    /// `CONSTANTS`, the tensors of `constants.pkl`.
    Constants,
    /// `__torch__` or a part of a dotted name below it that is no definition yet.
    Path(String),
    Class(DefinitionId),
    /// `C.__new__` of a class that may be made.
    Maker(DefinitionId),
    /// A free function, or a method with its object.
    Function(Function),
    Form(Form),
}

/// What PyTorch's printer writes as a call and the compiler reads in a way of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `annotate(List[int], [])`, and `unchecked_cast`.
    Annotate,
    /// `uninitialized(Tensor)`
    Uninitialized,
    /// `isinstance(x, List[int])`
    Isinstance,
    /// `getattr(self, "0")`
    Getattr,
    Print,
    /// `int(x)` and its like: the operator `aten::Int`.
    Cast(&'static str),
}

/// What a name means that is no local variable.
pub(super) fn of_name<'a>(cursor: &Cursor, name: &str) -> Result<Meaning<'a>, Rejection> {
    Ok(match name {
        "torch" => Meaning::Torch,
        "ops" => Meaning::Ops,
        "CONSTANTS" => Meaning::Constants,
        "__torch__" => Meaning::Path(name.to_owned()),
        "inf" | "nan" => Meaning::Value(Types::OTHER),
        "annotate" | "unchecked_cast" => Meaning::Form(Form::Annotate),
        "uninitialized" => Meaning::Form(Form::Uninitialized),
        "isinstance" => Meaning::Form(Form::Isinstance),
        "getattr" => Meaning::Form(Form::Getattr),
        "print" => Meaning::Form(Form::Print),
        "int" => Meaning::Form(Form::Cast("Int")),
        "float" => Meaning::Form(Form::Cast("Float")),
        "bool" => Meaning::Form(Form::Cast("Bool")),
        "str" => Meaning::Form(Form::Cast("str")),
        "sorted" => Meaning::Operator("aten", "sorted"),
        "fork" => Meaning::Operator("prim", "fork"),
        "awaitable" => Meaning::Operator("prim", "awaitable"),
        _ => return Err(cursor.unsafe_code(format!("uses the name `{name}`, which nothing before it defines"))),
    })
}

/// What `meaning.name` means.
pub(super) fn of_member<'a>(
    cursor: &Cursor,
    definitions: &Definitions<'a>,
    types: &mut Types<'a>,
    meaning: Meaning<'a>,
    name: &'a str,
) -> Result<Meaning<'a>, Rejection> {
    match meaning {
        Meaning::Torch => Ok(Meaning::Operator("aten", name)),
        Meaning::Ops => Ok(Meaning::Namespace(name)),
        Meaning::Namespace(namespace) => Ok(Meaning::Operator(namespace, name)),
        // `torch.autograd.grad` is the operator `aten::grad`.
        Meaning::Operator("aten", "autograd") => Ok(Meaning::Operator("aten", name)),
        Meaning::Path(path) => of_path(cursor, definitions, format!("{path}.{name}")),
        Meaning::Class(class) => match definitions.get(class) {
            Definition::Enumeration(members) if members.contains(name) => {
                Ok(Meaning::Value(types.add(Type::Object(class))))
            }
            Definition::Class(_) if name == "__new__" && definitions.is_grad_mode(class) => Ok(Meaning::Maker(class)),
            _ if name == "__new__" => Ok(Meaning::Operator("prim", "CreateObject")),
            _ => Err(cursor.unsafe_code(format!("reads `{name}` of a class that has no such member"))),
        },
        Meaning::Value(of) => of_attribute(cursor, definitions, types, of, name),
        Meaning::Operator(..) | Meaning::Constants | Meaning::Maker(_) | Meaning::Function(_) | Meaning::Form(_) => {
            Err(cursor.unsafe_code(format!("reads the attribute `{name}` of something that has none")))
        }
    }
}

fn of_path<'a>(cursor: &Cursor, definitions: &Definitions<'a>, path: String) -> Result<Meaning<'a>, Rejection> {
    if path.len() > MAX_NAME {
        return Err(cursor.unsafe_code(format!("has a dotted name of more than {MAX_NAME} characters")));
    }
    Ok(match definitions.find(&path) {
        None => Meaning::Path(path),
        Some(found) => match definitions.get(found) {
            Definition::Function(function) => Meaning::Function(*function),
            _ => Meaning::Class(found),
        },
    })
}

fn of_attribute<'a>(
    cursor: &Cursor,
    definitions: &Definitions<'a>,
    types: &mut Types<'a>,
    of: TypeId,
    name: &'a str,
) -> Result<Meaning<'a>, Rejection> {
    let class = match *types.get(of) {
        Type::Object(class) => Some(class),
        Type::Named(class) => match definitions.find(class) {
            Some(class) => Some(class),
            None => {
                let what = format!("uses the class `{class}`, which the archive does not define");
                return Err(cursor.rejection(Code::DamagedArchive, what));
            }
        },
        Type::Other | Type::Elements(_) | Type::Tuple(_) | Type::Text(_) => None,
    };
    let Some(class) = class else {
        // What a tensor or a list has is an operator by another name; the printer writes it as an operator.
        return match name {
            "tolist" => Ok(Meaning::Operator("prim", "tolist")),
            _ => Err(cursor.unsafe_code(format!(
                "reads the attribute `{name}` of a value that is no object of the archive; PyTorch writes `torch.{name}(…)`"
            ))),
        };
    };
    let found = match definitions.get(class) {
        Definition::Class(class) => {
            let attribute = class.attributes.get(name).map(|&attribute| Meaning::Value(attribute));
            attribute.or_else(|| class.methods.get(name).map(|&method| Meaning::Function(method)))
        }
        Definition::NamedTuple(fields) => {
            fields.iter().find(|(field, _)| *field == name).map(|&(_, annotation)| Meaning::Value(annotation))
        }
        Definition::Enumeration(_) => matches!(name, "name" | "value").then_some(Meaning::Value(Types::OTHER)),
        Definition::Function(_) => None,
    };
    found.ok_or_else(|| cursor.unsafe_code(format!("reads `{name}` of an object whose class has no such member")))
}

/// Refuses an operator of which no overload is allowed.
pub(super) fn check_operator(cursor: &Cursor, namespace: &str, name: &str) -> Result<(), Rejection> {
    if operators::is_allowed(namespace, name) {
        return Ok(());
    }
    Err(refused_operator(cursor, namespace, name))
}

/// The refusal of an operator.
pub(super) fn refused_operator(cursor: &Cursor, namespace: &str, name: &str) -> Rejection {
    let operator = format!("{namespace}::{name}");
    let what = format!("calls the operator `{operator}`, which is not on the list of supported operators");
    cursor.rejection(Code::UnsupportedOperator, what).at(operator).hint(operators::hint(namespace, name))
}
