//! What passes is what PyTorch's printer writes; every way out of it that we know of is refused by itself.

use proptest::prelude::*;

use super::lexer::{MAX_INDENTATION, MAX_LINE, MAX_NESTING};
use super::*;
use crate::rejection::{Code, Rejection};

/// A module with a method `body` of these lines, each indented as statements of a method are.
fn module(body: &str) -> String {
    let lines: String = body.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "class Part(Module):
  __parameters__ = [\"weight\", ]
  __buffers__ = []
  weight : Tensor
  limit : Final[int] = 7
  def forward(self: __torch__.Part,
    x: Tensor) -> Tensor:
    return torch.linear(x, self.weight)
  def save(self: __torch__.Part,
    x: Tensor) -> Tensor:
    return x
class Color(Enum):
  RED = 1
class Point(NamedTuple):
  x : Tensor
  part : __torch__.Part
class Net(Module):
  __annotations__ = []
  __annotations__[\"0\"] = __torch__.Part
  part : __torch__.Part
  parts : List[__torch__.Part]
  maybe : Optional[__torch__.Part]
  weight : Tensor
  def body(self: __torch__.Net,
    x: Tensor) -> Tensor:
{lines}    return x
def free(x: Tensor,
    p: __torch__.Part) -> __torch__.Part:
  return p
"
    )
}

fn check_text(text: &str) -> Result<(), Rejection> {
    check(&[SourceFile { record: "code/__torch__.py", text }])
}

#[track_caller]
fn pass(body: &str) {
    check_text(&module(body)).unwrap_or_else(|rejection| panic!("{body}\n{rejection}"));
}

#[track_caller]
fn refuse_text(text: &str, code: Code, words: &str) -> Rejection {
    let rejection = check_text(text).expect_err("it must be refused");
    assert_eq!(rejection.code, code, "{rejection}\n{text}");
    assert!(rejection.detail.contains(words), "{rejection} does not say {words:?}");
    rejection.assert_sentences();
    rejection
}

#[track_caller]
fn refuse(body: &str, code: Code, words: &str) -> Rejection {
    refuse_text(&module(body), code, words)
}

// What the printer writes.

#[test]
fn statements_as_pytorch_prints_them_pass() {
    pass(
        "weight = self.weight
_0 = torch.eq(torch.dim(x), 2)
if _0:
  pass
else:
  ops.prim.RaiseException(\"expected {}D, not \\\"ops.custom\\\"\", \"builtins.ValueError\")
if torch.__isnot__(x, None):
  y, z = x, x
else:
  y, z = weight, x
_1 = annotate(List[Tensor], [])
for i in range(torch.len(_1)):
  _2 = torch.append(_1, torch.mul(y, -1.0000000000000001e-05))
_3 = torch.gt(torch.len(_1), 0)
_4 : Optional[Tensor] = None
while _3:
  _3 = bool(torch.lt(int(_0), 3))
a, b, = torch.split(x, [1, 2], -1)
c, = _1
self.weight = torch.relu(a)
_5 = {\"a\": x, \"b\": (x, y,)}
_6 = unchecked_cast(Tensor, _4)
_7 = isinstance(_6, (Tensor, List[int]))
print(\"shape\", torch.size(x), inf, -inf, nan)
_8 = CONSTANTS.c0
_9 = uninitialized(Tensor)
_10 = torch._convolution(x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False, True, True)
_11 = torch.to(x, dtype=6, layout=0, device=torch.device(\"cpu\"))
_12 = (torch.size(x))[0]
_13 = (a, b)[0:1]",
    );
}

/// Part of what `with torch.no_grad():` in a scripted model is printed as.
const NO_GRAD: &str = "class no_grad:
  prev : bool
  def __init__(self: __torch__.torch.autograd.grad_mode.no_grad) -> NoneType:
    self.prev = False
    return None
  def __enter__(self: __torch__.torch.autograd.grad_mode.no_grad) -> NoneType:
    self.prev = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    return None
  def __exit__(self: __torch__.torch.autograd.grad_mode.no_grad,
    exc_type: Any,
    exc_value: Any,
    traceback: Any) -> NoneType:
    torch.set_grad_enabled(self.prev)
    return None
";

fn check_with_no_grad(body: &str) -> Result<(), Rejection> {
    let text = module(body);
    let root = SourceFile { record: "code/__torch__.py", text: &text };
    check(&[SourceFile { record: "code/__torch__/torch/autograd/grad_mode.py", text: NO_GRAD }, root])
}

#[test]
fn gradients_may_be_switched_off_by_pytorchs_own_guard() {
    let class = "__torch__.torch.autograd.grad_mode.no_grad";
    let made = format!("_0 = {class}.__new__({class})\n_1 = (_0).__init__()");
    check_with_no_grad(&format!("{made}\nwith _0:\n  y = torch.relu(x)\nz = y")).unwrap();
    for (body, words) in [
        (format!("{made}\nwith _0:\n  y = torch.save(x, \"/tmp/x\")"), "`aten::save`"),
        (format!("_0 = {class}.__new__(__torch__.Net)"), "another class"),
        ("y = torch.set_grad_enabled(False)".to_owned(), "`aten::set_grad_enabled`"),
        ("with self.part:\n  pass".to_owned(), "`prim::Enter`"),
        ("_0 = __torch__.Net.__new__(__torch__.Net)".to_owned(), "`prim::CreateObject`"),
    ] {
        let rejection = check_with_no_grad(&body).expect_err("it must be refused");
        assert!(rejection.detail.contains(words), "{rejection}");
    }
}

#[test]
fn calls_of_the_archives_own_methods_are_resolved_by_declared_types() {
    pass("x0 = (self.part).forward(x, )");
    pass("part = self.part\nx0 = (part).save(x, )");
    pass("x0 = (getattr(self, \"0\")).save(x, )");
    pass("x0 = ((self.parts)[0]).save(x, )");
    pass("part = torch._unwrap_optional(self.maybe)\nx0 = (part).save(x, )");
    pass("part = unchecked_cast(__torch__.Part, self.maybe)\nx0 = (part).save(x, )");
    pass("point = __torch__.Point(x, self.part)\nx0 = (point.part).save(x, )");
    pass("y, part, = __torch__.Point(x, self.part)\nx0 = torch.relu(y)");
    pass("x0 = (__torch__.free(x, self.part, )).save(x, )");
    pass("function = __torch__.free\npart = function(x, self.part, )\nx0 = (part).save(x, )");
    pass("_0 = torch.eq((__torch__.Color.RED).value, self.part.limit)");
}

#[test]
fn names_of_builtin_functions_may_be_variables() {
    pass("sum = torch.sum(x)\nmax, hash = x, x\nx0 = torch.add(sum, max)\nlen = [hash]");
}

#[test]
fn an_operator_name_in_a_text_passes() {
    pass("z = \"ops.mine.other # torch.save\"");
}

#[test]
fn files_of_old_versions_with_versions_and_imports_pass() {
    check_text("op_version_set = 1\nimport __torch__.net\nclass Net(Module):\n  pass\n").unwrap();
}

#[test]
fn definitions_may_lie_in_several_files_in_any_order() {
    let one = SourceFile {
        record: "code/__torch__/a.py",
        text: "def f(x: Tensor) -> Tensor:\n  return __torch__.b.c.g(x, )\n",
    };
    let other =
        SourceFile { record: "code/__torch__/b/c.py", text: "def g(x: Tensor) -> Tensor:\n  return torch.relu(x)\n" };
    check(&[one, other]).unwrap();
    let rejection = check(&[one]).unwrap_err();
    assert_eq!(rejection.code, Code::DamagedArchive);
    assert!(rejection.detail.contains("`__torch__.b.c.g`"), "{rejection}");
}

// What libtorch evaluates while it loads.

const LITERALS: [&str; 12] = [
    "1",
    "-1.5",
    "inf",
    "-inf",
    "\"a\\\"b\"",
    "None",
    "[1, 2]",
    "(1, (2.0, True),)",
    "annotate(List[int], [])",
    "CONSTANTS.c0",
    "torch.device(\"cuda:0\")",
    "__torch__.Color.RED",
];

const COMPUTED: [&str; 14] = [
    "torch.from_file(\"/tmp/x\", True, 16, dtype=0)",
    "torch.fill_(torch.from_file(\"/tmp/x\", True, 16, dtype=0), 7)",
    "torch.save(1, \"/tmp/x\")",
    "ops.aten.save(1, \"/tmp/x\")",
    "[torch.save(1, \"/tmp/x\")]",
    "annotate(int, torch.save(1, \"/tmp/x\"))",
    "torch.add(1, 1)",
    "torch.device(torch.save(1, \"/tmp/x\"))",
    "__torch__.free(1, 2)",
    "__torch__.Net(1)",
    "__torch__.Color.GREEN",
    "x",
    "-x",
    "(1)[torch.save(1, \"/tmp/x\")]",
];

/// Every place whose expression is evaluated by the loader.
fn places(expression: &str) -> [String; 6] {
    let rest = "class Color(Enum):\n  RED = 1\ndef free(x: int, y: int) -> int:\n  return x\n";
    [
        format!(
            "{rest}class Net(Module):\n  def forward(self, x: Tensor, y: int={expression}) -> Tensor:\n    return x\n"
        ),
        format!("{rest}class Net(Module):\n  c : Final[int] = {expression}\n"),
        format!("{rest}class Net(Module):\n  pass\ndef f(x: int={expression}) -> int:\n  return x\n"),
        format!("{rest}class Net(Module):\n  pass\nclass T(NamedTuple):\n  x : int = {expression}\n"),
        format!("{rest}class Net(Module):\n  pass\nclass E(Enum):\n  A = {expression}\n"),
        format!(
            "{rest}class Net(Module):\n  pass\nclass I(Interface):\n  def f(self, x: int={expression}) -> int:\n    pass\n"
        ),
    ]
}

#[test]
fn literals_pass_wherever_libtorch_evaluates_while_it_loads() {
    for text in LITERALS.iter().flat_map(|literal| places(literal)) {
        check_text(&text).unwrap_or_else(|rejection| panic!("{text}\n{rejection}"));
    }
}

#[test]
fn whatever_is_computed_there_is_refused() {
    for text in COMPUTED.iter().flat_map(|expression| places(expression)) {
        let rejection = check_text(&text).expect_err(&text);
        assert_eq!(rejection.code, Code::UnsafeArchive, "{rejection}\n{text}");
    }
}

#[test]
fn lists_of_parameters_and_annotations_of_a_class_hold_texts_and_types_only() {
    for member in [
        "__parameters__ = [torch.save(1, \"/tmp/x\")]",
        "__annotations__ = torch.save(1, \"/tmp/x\")",
        "__annotations__[\"0\"] = torch.save(1, \"/tmp/x\")",
        "x : torch.save(1, \"/tmp/x\")",
        "x : List[torch.save(1)]",
        "torch.save(1, \"/tmp/x\")",
        "if x:\n    pass",
        "x = y",
    ] {
        refuse_text(&format!("class Net(Module):\n  {member}\n"), Code::UnsafeArchive, "Line 2");
    }
}

#[test]
fn methods_that_run_while_the_model_is_loaded_are_refused() {
    for method in ["__setstate__", "__getstate__"] {
        let text = format!("class Net(Module):\n  def {method}(self: __torch__.Net) -> NoneType:\n    return None\n");
        refuse_text(&text, Code::UnsafeArchive, "run while the model is loaded");
    }
}

// Operators.

#[test]
fn operators_that_are_not_on_the_list_are_refused_by_name_however_they_are_called() {
    for (call, operator) in [
        ("torch.save(x, \"/tmp/x\")", "aten::save"),
        ("ops.aten.save(x, \"/tmp/x\")", "aten::save"),
        ("(torch.save)(x, \"/tmp/x\")", "aten::save"),
        ("[(torch.load)(\"/tmp/x\")]", "aten::load"),
        ("{1: torch.from_file(\"/tmp/x\")}", "aten::from_file"),
        ("torch.add(x, x, alpha=torch.as_strided(x, [9], [1]))", "aten::as_strided"),
        ("torch.autograd.grad(x)", "aten::grad"),
        ("annotate(Tensor, torch.set_(x))", "aten::set_"),
        ("unchecked_cast(Tensor, torch.resize_(x, [9]))", "aten::resize_"),
        ("ops.prim.rpc_async(x)", "prim::rpc_async"),
        ("ops.inductor._alloc_from_pool(x)", "inductor::_alloc_from_pool"),
        ("ops.torchvision.nms(x)", "torchvision::nms"),
        ("sorted(x)", "aten::sorted"),
        ("fork(x)", "prim::fork"),
        ("annotate(List[int], x.tolist())", "prim::tolist"),
        ("__torch__.Net.__new__(__torch__.Net)", "prim::CreateObject"),
        ("__torch__.Net(x)", "prim::CreateObject"),
    ] {
        for statement in
            [format!("y = {call}"), call.to_owned(), format!("return {call}"), format!("self.weight = {call}")]
        {
            let rejection = refuse(&statement, Code::UnsupportedOperator, &format!("`{operator}`"));
            assert_eq!(rejection.node.as_deref(), Some(operator));
        }
        refuse(&format!("if {call}:\n  pass"), Code::UnsupportedOperator, operator);
        refuse(&format!("for i in range({call}):\n  pass"), Code::UnsupportedOperator, operator);
        refuse(&format!("y = torch.relu({call})"), Code::UnsupportedOperator, operator);
    }
    refuse("with x:\n  pass", Code::UnsupportedOperator, "`prim::Enter`");
    refuse("def g():\n  return x", Code::UnsupportedOperator, "`prim::fork`");
}

#[test]
fn an_operator_in_a_branch_or_a_method_or_a_file_that_nothing_reaches_is_refused() {
    refuse("if False:\n  if False:\n    y = torch.save(x, \"/tmp/x\")", Code::UnsupportedOperator, "aten::save");
    let spare = format!("{}def spare(x: Tensor) -> Tensor:\n  return torch.load(x)\n", module("pass"));
    refuse_text(&spare, Code::UnsupportedOperator, "aten::load");
    let text = "def spare(x: Tensor) -> Tensor:\n  return torch.load(x)\n";
    let first = SourceFile { record: "code/__torch__.py", text: &module("pass") };
    check(&[first, SourceFile { record: "code/other/file.py", text }]).expect_err("no file is left out");
}

#[test]
fn operators_of_other_libraries_are_refused_with_what_to_do() {
    let torchvision = refuse("y = ops.torchvision.nms(x)", Code::UnsupportedOperator, "`torchvision::nms`");
    assert!(torchvision.hint.unwrap().contains("torchvision"));
    let quantized = refuse("y = ops.quantized.conv2d(x)", Code::UnsupportedDtype, "quantized layers");
    assert!(quantized.hint.unwrap().contains("float32 model"));
    for operator in
        ["ops.prim.ConstantMKLDNNTensor()", "ops.prepacked.conv2d_clamp_run(x)", "ops.mkldnn._convolution(x)"]
    {
        let packed = refuse(&format!("y = {operator}"), Code::UnsupportedModel, "packed for one kind of processor");
        assert!(packed.hint.unwrap().contains("optimize_for_inference"));
    }
}

#[test]
fn a_method_of_a_tensor_is_refused_even_if_a_class_has_a_method_of_that_name() {
    for receiver in ["x", "self.weight", "torch.relu(x)", "CONSTANTS.c0", "(x, x)", "[self.part]", "\"text\"", "3"] {
        refuse(&format!("y = ({receiver}).save(\"/tmp/x\", )"), Code::UnsafeArchive, "reads the attribute `save`");
    }
    refuse("y = x\nif y:\n  y = self.part\nelse:\n  pass\nz = (y).save(x, )", Code::UnsafeArchive, "`save`");
}

#[test]
fn names_of_the_language_cannot_be_given_to_variables_or_used_as_values() {
    for name in ["torch", "ops", "CONSTANTS", "__torch__"] {
        refuse(&format!("{name} = x"), Code::UnsafeArchive, "to a variable");
        refuse(
            &format!("y = {name}"),
            if name == "__torch__" { Code::DamagedArchive } else { Code::UnsafeArchive },
            name_or_part(name),
        );
    }
    refuse("o = ops.mine", Code::UnsafeArchive, "`ops.namespace.operator`");
    refuse("f = torch.relu", Code::UnsafeArchive, "other than to call it");
    refuse("y = torch.add(x, x, out=x)", Code::UnsafeArchive, "`out=`");
    pass("y = torch.div(x, x, out=x)");
    pass("y = torch.linalg_vector_norm(x, 2, None, False, dtype=None, out=x)");
    refuse("f = torch.save", Code::UnsupportedOperator, "aten::save");
    refuse("c = __torch__.Net", Code::UnsafeArchive, "as a value");
    refuse("y = print", Code::UnsafeArchive, "as a value");
    refuse("y = (x)(x)", Code::UnsafeArchive, "calls a value");
    refuse("y = hash(x)", Code::UnsafeArchive, "`hash`");
    refuse("y = getattr(x, \"save\")", Code::UnsafeArchive, "`save`");
    refuse("y = getattr(self.part, \"save\")", Code::UnsafeArchive, "no attribute");
    refuse("y = self.missing", Code::UnsafeArchive, "`missing`");
    refuse("y = CONSTANTS.weight", Code::UnsafeArchive, "constant");
}

fn name_or_part(name: &str) -> &str {
    match name {
        "ops" => "`ops`",
        "__torch__" => "`__torch__`",
        _ => "a part of the language",
    }
}

#[test]
fn expressions_that_pytorch_never_writes_are_refused() {
    for expression in [
        "torch.relu if x else x",
        "x + x",
        "not x",
        "x and x",
        "lambda: x",
        "[y for y in x]",
        "f\"{x}\"",
        "'x'",
        "\"\"\"x\"\"\"",
        "x @ x",
        "x[...]",
        "x[:, 0]",
        "*x",
        "0x10",
        "1_000",
        "x;x",
        "x := x",
        "`x`",
        "é",
        "ｔorch.relu(x)",
        "x\u{202e}",
    ] {
        refuse(&format!("y = {expression}"), Code::UnsafeArchive, "Line 26");
    }
    for statement in
        ["del x", "global x", "raise x", "assert x", "break", "y += x", "import os", "from os import path", "@x"]
    {
        refuse(statement, Code::UnsafeArchive, "Line 26");
    }
}

#[test]
fn texts_comments_and_blanks_have_one_reading() {
    refuse("y = x # type: (Tensor) -> int", Code::UnsafeArchive, "`#`");
    refuse("# plain", Code::UnsafeArchive, "`#`");
    refuse("y = \"\0\"", Code::UnsafeArchive, "control character 0x00");
    refuse("y = \"\u{1b}[2J\"", Code::UnsafeArchive, "control character 0x1b");
    refuse("y = torch.relu(x)\\", Code::UnsafeArchive, "backslash");
    refuse("y =\tx", Code::UnsafeArchive, "control character 0x09");
    refuse("y = x\r", Code::UnsafeArchive, "0x0d");
    refuse("y = x\u{c}", Code::UnsafeArchive, "0x0c");
    refuse("y = \"open", Code::UnsafeArchive, "does not end");
    refuse("y = \"open\\", Code::UnsafeArchive, "does not end");
    refuse("if x:\n    y = x\n  z = x", Code::UnsafeArchive, "indented like no block");
    refuse("y = (x", Code::UnsafeArchive, "open bracket");
    refuse("y = x)", Code::UnsafeArchive, "not open");
}

#[test]
fn a_definition_has_one_meaning() {
    refuse_text("class A(Module):\n  pass\nclass A(Module):\n  pass\n", Code::UnsafeArchive, "a second time");
    refuse_text("class A(Module):\n  x : int\n  x : Tensor\n", Code::UnsafeArchive, "a second time");
    let twice = "  def f(self) -> int:\n    return 1\n";
    refuse_text(&format!("class A(Module):\n{twice}{twice}"), Code::UnsafeArchive, "a second time");
    refuse_text("class A(object):\n  pass\n", Code::UnsafeArchive, "`object`");
}

// Sizes.

#[test]
fn nesting_chains_and_lines_are_bounded() {
    let brackets = format!("y = {}{}", "(".repeat(MAX_NESTING + 1), ")".repeat(MAX_NESTING + 1));
    refuse(&brackets, Code::UnsafeArchive, "brackets more than 200 deep");
    let blocks: String = (0..MAX_INDENTATION).map(|depth| format!("{}if x:\n", "  ".repeat(depth))).collect();
    refuse(&blocks, Code::UnsafeArchive, "blocks more than 200 spaces");
    refuse(&format!("y = x{}", "[0]".repeat(MAX_CHAIN + 1)), Code::UnsafeArchive, "in a chain");
    refuse(&format!("y = \"{}\"", "a".repeat(MAX_LINE)), Code::UnsafeArchive, "are read");
    refuse(&format!("y{} = x", "y".repeat(MAX_NAME)), Code::UnsafeArchive, "characters");
    pass(&format!("y = [{}]", "-1, torch.relu(x), ".repeat(20_000)));
}

#[test]
fn texts_that_the_compiler_would_double_are_refused() {
    let double: String = (0..30).map(|step| format!("t{} = torch.add(t{step}, t{step})\n", step + 1)).collect();
    refuse(&format!("t0 = \"0123456789abcdef\"\n{double}"), Code::UnsafeArchive, "a text of more than 1048576 bytes");
    let tuples: String =
        (0..30).map(|step| format!("t{} = str(torch.add(((t{step}, x))[0], t{step}))\n", step + 1)).collect();
    refuse(&format!("t0 = \"0123456789abcdef\"\n{tuples}"), Code::UnsafeArchive, "a text of more than");
    let long = "a".repeat(2000);
    refuse(&format!("t = torch.replace(\"{long}\", \"a\", \"{long}\")"), Code::UnsafeArchive, "a text of more than");
    let rounding: String = (0..30).map(|_| "x = torch.add(x, torch.div(x, x, rounding_mode=\"trunc\"))\n").collect();
    pass(&rounding);
    pass("t = torch.format(\"expected {} but got {}\", 3, torch.add(\"a\", str(x)))\nu = torch.add(t, t)");
}

#[test]
fn statements_and_items_are_bounded() {
    refuse(&format!("y = [{}]", "1, ".repeat(MAX_ITEMS + 1)), Code::UnsafeArchive, "items of lists");
    refuse_text(&places(&format!("[{}]", "1, ".repeat(MAX_ITEMS + 1)))[0], Code::UnsafeArchive, "items of lists");
    refuse(&"pass\n".repeat(MAX_STATEMENTS + 1), Code::UnsafeArchive, "statements");
    let variables: String = (0..=MAX_LOCALS).map(|number| format!("v{number} = x\n")).collect();
    refuse(&variables, Code::UnsafeArchive, "variables");
}

#[test]
fn functions_that_call_themselves_are_refused() {
    refuse("y = (self).body(x, )", Code::UnsupportedModel, "calls itself");
    let text =
        "def f(x: Tensor) -> Tensor:\n  return __torch__.g(x)\ndef g(x: Tensor) -> Tensor:\n  return __torch__.f(x)\n";
    refuse_text(text, Code::UnsupportedModel, "calls itself");
}

/// Functions `f0` to `fn`, each of which calls the one before it so often.
fn chain(length: usize, times: usize) -> String {
    let mut text = "def f0(x: Tensor) -> Tensor:\n  return x\n".to_owned();
    for number in 1..=length {
        let call = format!("__torch__.f{}(x, )", number - 1);
        let calls: String = (0..times).map(|_| format!("  y = {call}\n")).collect();
        text.push_str(&format!("def f{number}(x: Tensor) -> Tensor:\n{calls}  return x\n"));
    }
    text
}

#[test]
fn chains_of_calls_and_what_inlining_makes_of_them_are_bounded() {
    check_text(&chain(MAX_CALL_DEPTH - 1, 1)).unwrap();
    refuse_text(&chain(MAX_CALL_DEPTH, 1), Code::UnsafeArchive, "call each other in a chain");
    refuse_text(&chain(30, 2), Code::UnsafeArchive, "at most 1000000");
}

#[test]
fn chains_of_definitions_that_need_each_other_are_bounded() {
    let chain = |length: usize| -> String {
        let class = |number: usize| format!("class C{number}(Module):\n  next : __torch__.C{}\n", number + 1);
        (0..length).map(class).collect::<String>() + &format!("class C{length}(Module):\n  pass\n")
    };
    check_text(&chain(MAX_IMPORT_DEPTH - 1)).unwrap();
    refuse_text(&chain(MAX_IMPORT_DEPTH), Code::UnsafeArchive, "need each other in a chain");
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end_without_a_panic(body in "[ a-c.()\\[\\]{},:=+\"'#\\\\\n0-9eopstrch-]{0,300}") {
        let _ = check_text(&module(&body));
        let _ = check_text(&body);
    }

    #[test]
    fn statements_of_known_words_never_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "torch", ".", "relu", "(", ")", "x", ",", "=", "\n", "\n  ", "if", ":", "else", "self", "part", "[", "]", "0",
            "__torch__", "Net", "annotate", "Tensor", "return", "getattr", "\"0\"", "for", "in", "range", "ops", "prim",
        ]), 0..60)
    ) {
        let _ = check_text(&module(&words.join(" ")));
    }
}
