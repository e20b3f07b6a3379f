//! `forward` as TorchScript source text, printed from a graph so that a person can read it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use secateur_core::graph::{Argument, Graph, Literal, Node, Output, Producer, Size, ValueId};

/// The definition of `forward` for a module that holds the graph's parameters under their names.
pub(super) fn forward(graph: &Graph) -> String {
    Printer::new(graph).print()
}

/// Names that a local variable must not have: keywords, and what the printed code itself refers to.
const RESERVED: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or",
    "pass", "raise", "return", "try", "while", "with", "yield", "self", "torch", "batch", "getattr", "annotate",
    "float", "int", "bool", "str", "List", "Optional", "Tensor", "Dict", "Tuple", "print", "len", "range", "math",
];

struct Printer<'a> {
    graph: &'a Graph,
    variables: HashMap<ValueId, String>,
    taken: HashSet<String>,
    text: String,
}

impl<'a> Printer<'a> {
    fn new(graph: &'a Graph) -> Self {
        let taken = RESERVED.iter().map(|&name| name.to_owned()).collect();
        Self { graph, variables: HashMap::new(), taken, text: String::new() }
    }

    fn print(mut self) -> String {
        let inputs: Vec<String> = match self.graph.inputs() {
            [input] => vec![self.variable(*input, "x")],
            inputs => {
                inputs.iter().enumerate().map(|(index, &input)| self.variable(input, &format!("x{index}"))).collect()
            }
        };
        writeln!(self.text, "def forward(self, {}):", inputs.join(", ")).expect("writing to a String");
        if self.graph.nodes().iter().any(depends_on_batch) {
            self.line(&format!("batch = torch.size({}, 0)", inputs[0]));
        }
        for node in self.graph.nodes() {
            let call = self.call(node, &inputs[0]);
            let targets: Vec<String> = match &node.outputs[..] {
                [output] => vec![self.variable(*output, &node.name)],
                outputs => outputs
                    .iter()
                    .enumerate()
                    .map(|(index, &output)| self.variable(output, &format!("{}_{index}", node.name)))
                    .collect(),
            };
            // A list of one is unpacked like any other.
            let comma = if node.list && targets.len() == 1 { "," } else { "" };
            self.line(&format!("{}{comma} = {call}", targets.join(", ")));
        }
        let output = self.output(self.graph.output());
        self.line(&format!("return {output}"));
        self.text
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "    {line}").expect("writing to a String");
    }

    /// A new variable for a value, named as closely to `wish` as Python allows.
    fn variable(&mut self, value: ValueId, wish: &str) -> String {
        let mut stem: String =
            wish.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
        if !stem.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
            stem.insert(0, '_');
        }
        let mut name = stem.clone();
        for number in 2.. {
            if self.taken.insert(name.clone()) {
                break;
            }
            name = format!("{stem}_{number}");
        }
        self.variables.insert(value, name.clone());
        name
    }

    fn call(&self, node: &Node, first_input: &str) -> String {
        let args: Vec<String> = node
            .args
            .iter()
            .map(|arg| {
                let value = match &arg.value {
                    Literal::Device(_) => format!("{first_input}.device"),
                    Literal::Bool(false) if is_training_flag(arg) => "self.training".to_owned(),
                    _ => self.literal(&arg.value, &arg.name),
                };
                if arg.keyword { format!("{}={value}", arg.name) } else { value }
            })
            .collect();
        let operator = node.op.strip_prefix("aten::").unwrap_or(&node.op);
        format!("torch.{operator}({})", args.join(", "))
    }

    fn literal(&self, literal: &Literal, name: &str) -> String {
        match literal {
            Literal::Tensor(value) => self.value(*value),
            Literal::Tensors(values) => {
                let items = list(values, |value| value.map_or_else(|| "None".to_owned(), |value| self.value(value)));
                // The schema of indexing says Tensor?[], which no plain list literal is.
                if values.iter().any(Option::is_none) || name == "indices" {
                    format!("annotate(List[Optional[Tensor]], {items})")
                } else {
                    items
                }
            }
            Literal::None => "None".to_owned(),
            Literal::Bool(value) => boolean(*value),
            Literal::Int(size) => integer(*size),
            Literal::Float(value) => float(*value),
            Literal::Str(text) => string(text),
            Literal::Ints(sizes) if sizes.is_empty() => "annotate(List[int], [])".to_owned(),
            Literal::Ints(sizes) => list(sizes, |&size| integer(size)),
            Literal::Floats(values) if values.is_empty() => "annotate(List[float], [])".to_owned(),
            Literal::Floats(values) => list(values, |&value| float(value)),
            Literal::Bools(values) if values.is_empty() => "annotate(List[bool], [])".to_owned(),
            Literal::Bools(values) => list(values, |&value| boolean(value)),
            Literal::Device(_) => unreachable!("the caller prints devices"),
        }
    }

    fn value(&self, value: ValueId) -> String {
        match self.graph.producer(value) {
            Producer::Parameter(index) => attribute(&self.graph.parameters()[index].name),
            Producer::Input(_) | Producer::Node { .. } => self.variables[&value].clone(),
        }
    }

    fn output(&self, output: &Output) -> String {
        match output {
            Output::Tensor(value) => self.value(*value),
            Output::Tuple(parts) if parts.len() == 1 => format!("({},)", self.output(&parts[0])),
            Output::Tuple(parts) => format!("({})", list_items(parts, |part| self.output(part))),
            Output::List(parts) => {
                let items = list(parts, |part| self.output(part));
                // The elements of a list have one type, which must be said where some of them are None.
                if parts.contains(&Output::None) { format!("annotate(List[Optional[Tensor]], {items})") } else { items }
            }
            Output::Dict(entries) => {
                let items = list_items(entries, |(key, part)| format!("{}: {}", string(key), self.output(part)));
                let has_none = entries.iter().any(|(_, part)| *part == Output::None);
                if has_none {
                    format!("annotate(Dict[str, Optional[Tensor]], {{{items}}})")
                } else {
                    format!("{{{items}}}")
                }
            }
            Output::None => "None".to_owned(),
        }
    }
}

/// `self.layer1.conv.weight`; numbers and other names that are no identifiers go through `getattr`.
fn attribute(name: &str) -> String {
    name.split('.').fold("self".to_owned(), |object, part| {
        let is_identifier = part.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !RESERVED.contains(&part);
        if is_identifier { format!("{object}.{part}") } else { format!("getattr({object}, {})", string(part)) }
    })
}

fn is_training_flag(arg: &Argument) -> bool {
    matches!(arg.name.as_str(), "training" | "train" | "use_input_stats")
}

fn depends_on_batch(node: &Node) -> bool {
    node.args.iter().any(|arg| match &arg.value {
        Literal::Int(size) => size.as_fixed().is_none(),
        Literal::Ints(sizes) => sizes.iter().any(|size| size.as_fixed().is_none()),
        _ => false,
    })
}

fn integer(size: Size) -> String {
    match size {
        Size { per_sample: 0, fixed } => fixed.to_string(),
        Size { per_sample: 1, fixed: 0 } => "batch".to_owned(),
        Size { per_sample, fixed: 0 } => format!("{per_sample} * batch"),
        Size { per_sample, fixed } => format!("{per_sample} * batch + {fixed}"),
    }
}

fn float(value: f64) -> String {
    match value {
        _ if value.is_nan() => "float(\"nan\")".to_owned(),
        f64::INFINITY => "float(\"inf\")".to_owned(),
        f64::NEG_INFINITY => "float(\"-inf\")".to_owned(),
        // Always with a point or an exponent, and read back as the same number.
        _ => format!("{value:?}"),
    }
}

fn boolean(value: bool) -> String {
    if value { "True" } else { "False" }.to_owned()
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn list<T>(items: &[T], print: impl Fn(&T) -> String) -> String {
    format!("[{}]", list_items(items, print))
}

fn list_items<T>(items: &[T], print: impl Fn(&T) -> String) -> String {
    items.iter().map(print).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use secateur_core::graph::{DType, FORMAT, GraphFile, Parameter, ParameterKind, Value};

    use super::*;

    fn argument(name: &str, keyword: bool, value: Literal) -> Argument {
        Argument { name: name.to_owned(), keyword, value }
    }

    fn value(shape: &[Size]) -> Value {
        Value { shape: shape.to_vec(), dtype: DType::Float32, max: None }
    }

    fn node(name: &str, op: &str, args: Vec<Argument>, outputs: &[u32], list: bool) -> Node {
        let outputs = outputs.iter().map(|&output| ValueId(output)).collect();
        Node { name: name.to_owned(), op: op.to_owned(), overload: String::new(), args, outputs, list }
    }

    #[test]
    fn the_printed_code_reads_like_the_networks_own() {
        let wide = value(&[Size::BATCH, Size::fixed(4)]);
        let half = value(&[Size::BATCH, Size::fixed(2)]);
        let tensor = |value| Literal::Tensor(ValueId(value));
        let file = GraphFile {
            format: FORMAT,
            values: vec![wide.clone(), value(&[Size::fixed(4)]), wide.clone(), wide, half.clone(), half.clone(), half],
            inputs: vec![ValueId(0)],
            parameters: vec![Parameter {
                name: "stage.0.lambda".to_owned(),
                kind: ParameterKind::Parameter,
                value: ValueId(1),
                requires_grad: true,
                tied_to: None,
                numbers: None,
            }],
            nodes: vec![
                node(
                    "stage.0",
                    "aten::mul",
                    vec![argument("self", false, tensor(0)), argument("other", false, tensor(1))],
                    &[2],
                    false,
                ),
                node(
                    "dropout_1",
                    "aten::dropout",
                    vec![
                        argument("input", false, tensor(2)),
                        argument("p", false, Literal::Float(1e-5)),
                        argument("train", false, Literal::Bool(false)),
                    ],
                    &[3],
                    false,
                ),
                node(
                    "chunk_1",
                    "aten::chunk",
                    vec![argument("self", false, tensor(3)), argument("chunks", false, Literal::Int(Size::fixed(2)))],
                    &[4, 5],
                    true,
                ),
                node(
                    "full_1",
                    "aten::full",
                    vec![
                        argument("size", false, Literal::Ints(vec![Size::BATCH, Size { per_sample: 2, fixed: -1 }])),
                        argument("fill_value", false, Literal::Float(f64::NEG_INFINITY)),
                        argument("device", true, Literal::Device("cpu".to_owned())),
                    ],
                    &[6],
                    false,
                ),
            ],
            output: Output::Dict(vec![(
                "halves".to_owned(),
                Output::Tuple(vec![
                    Output::List(vec![Output::Tensor(ValueId(4)), Output::Tensor(ValueId(5))]),
                    Output::Tensor(ValueId(6)),
                ]),
            )]),
            specialisations: Vec::new(),
            state: Vec::new(),
            methods: Vec::new(),
            free_sizes: Vec::new(),
            input_names: Vec::new(),
            numbers: Vec::new(),
        };
        let text = forward(&Graph::new(file).expect("the graph is valid"));
        assert_eq!(
            text,
            r#"def forward(self, x):
    batch = torch.size(x, 0)
    stage_0 = torch.mul(x, getattr(getattr(self.stage, "0"), "lambda"))
    dropout_1 = torch.dropout(stage_0, 1e-5, self.training)
    chunk_1_0, chunk_1_1 = torch.chunk(dropout_1, 2)
    full_1 = torch.full([batch, 2 * batch + -1], float("-inf"), device=x.device)
    return {"halves": ([chunk_1_0, chunk_1_1], full_1)}
"#
        );
    }
}
