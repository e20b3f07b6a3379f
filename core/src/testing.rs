//! A small builder of graphs for tests and benchmarks: a chain of layers with a movable end.

use crate::configuration::Configuration;
use crate::cost::{CostModel, Costs};
use crate::graph::{
    Argument, DType, Graph, GraphFile, Literal, Node, Output, Parameter, ParameterKind, Size, Value, ValueId,
};
use crate::group::{Group, Grouping};
use crate::surgery::{Cut, cut};

/// A builder of graphs: each call adds a node that reads the value before it.
pub struct Net {
    file: GraphFile,
    here: ValueId,
}

/// An integer argument.
pub fn int(value: i64) -> Literal {
    Literal::Int(Size::fixed(value))
}

/// A list of integers as an argument.
pub fn ints(values: &[i64]) -> Literal {
    Literal::Ints(values.iter().map(|&value| Size::fixed(value)).collect())
}

impl Net {
    /// A model of one input; `sample` is its shape without the batch.
    pub fn new(sample: &[i64]) -> Self {
        let shape = [Size::BATCH].into_iter().chain(sample.iter().map(|&size| Size::fixed(size))).collect();
        let file = GraphFile {
            format: 1,
            values: vec![Value { shape, dtype: DType::Float32, max: None }],
            inputs: vec![ValueId(0)],
            parameters: Vec::new(),
            nodes: Vec::new(),
            output: Output::Tensor(ValueId(0)),
            specialisations: Vec::new(),
            state: Vec::new(),
            methods: Vec::new(),
            free_sizes: Vec::new(),
            input_names: Vec::new(),
            numbers: Vec::new(),
        };
        Self { file, here: ValueId(0) }
    }

    /// A CIFAR-style ResNet of basic blocks; a stage's first block projects its shortcut.
    pub fn resnet(sample: &[i64], widths: &[i64], blocks: usize) -> Self {
        let mut net = Self::new(sample);
        net.conv("stem", widths[0], 3, 1).batch_norm("stem.bn").relu();
        for (stage, &width) in widths.iter().enumerate() {
            for block in 0..blocks {
                let name = format!("layer{stage}.{block}");
                let mut shortcut = net.here();
                if stage > 0 && block == 0 {
                    net.conv(&format!("{name}.shortcut"), width, 1, 1).batch_norm(&format!("{name}.shortcut.bn"));
                    let projected = net.here();
                    net.at(shortcut);
                    shortcut = projected;
                }
                net.conv(&format!("{name}.conv1"), width, 3, 1).batch_norm(&format!("{name}.bn1")).relu();
                net.conv(&format!("{name}.conv2"), width, 3, 1).batch_norm(&format!("{name}.bn2")).add(shortcut).relu();
            }
        }
        net.mean(&[2, 3], false).linear("fc", 10);
        net
    }

    /// A network chosen by `steps`, of the shapes that the operators know: branches that add or concatenate, depthwise and
    /// grouped convolutions, a flattening head.
    pub fn random(steps: &[(u8, u8)]) -> Self {
        let mut net = Self::new(&[3, 4, 4]);
        net.conv("stem", 8, 3, 1);
        for (number, &(kind, width)) in steps.iter().enumerate() {
            let (name, width) = (format!("block{number}"), i64::from(width % 6 + 1) * 4);
            let before = net.here();
            let channels = net.graph().value(before).shape[1].fixed;
            match kind % 5 {
                0 => net.conv(&name, width, 3, 1).batch_norm(&format!("{name}.bn")).relu(),
                1 => net
                    .conv(&format!("{name}.a"), width, 1, 1)
                    .relu()
                    .conv(&format!("{name}.b"), channels, 3, 1)
                    .add(before),
                2 => net.conv(&name, width, 1, 1).cat(before),
                3 => net.conv(&name, channels, 3, channels).batch_norm(&format!("{name}.bn")).unary("aten::relu6"),
                _ => net.conv(&name, channels, 3, 4),
            };
        }
        net.flatten().linear("hidden", 10).relu().addmm("head", 5);
        net
    }

    /// The value that the next node reads.
    pub fn here(&self) -> ValueId {
        self.here
    }

    /// Makes the next node read this value.
    pub fn at(&mut self, value: ValueId) -> &mut Self {
        self.here = value;
        self
    }

    /// The graph that returns the current end.
    pub fn graph(&self) -> Graph {
        let mut file = self.file.clone();
        file.output = Output::Tensor(self.here);
        Graph::new(file).expect("the test's graph is valid")
    }

    /// The coupled channel groups of the graph so far.
    pub fn groups(&self) -> Vec<Group> {
        Grouping::of(&self.graph()).groups().to_vec()
    }

    /// The costs of the graph so far.
    pub fn costs(&self) -> Costs {
        let graph = self.graph();
        let grouping = Grouping::of(&graph);
        CostModel::of(&graph, &grouping).full()
    }

    /// The graph so far, cut to these channels of each group.
    ///
    /// # Panics
    /// The channels do not fit the groups.
    pub fn cut(&self, keep: &[Vec<u32>]) -> Cut {
        let graph = self.graph();
        let grouping = Grouping::of(&graph);
        cut(&graph, &grouping, &Configuration { keep: keep.to_vec() }).expect("the test's configuration is valid")
    }

    /// The reasons why an axis of a parameter is not cut, joined.
    pub fn reasons(&self, parameter: &str, axis: usize) -> String {
        let grouping = Grouping::of(&self.graph());
        let frozen = grouping.frozen().iter().find(|frozen| {
            frozen.owners.iter().any(|owner| matches!(owner, crate::group::Owner::Parameter { name, axis: at } if name == parameter && *at == axis))
        });
        frozen.map(|frozen| grouping.axes().cause(frozen.reason).to_string()).unwrap_or_default()
    }

    fn value(&mut self, shape: Vec<Size>) -> ValueId {
        self.file.values.push(Value { shape, dtype: DType::Float32, max: None });
        ValueId(self.file.values.len() as u32 - 1)
    }

    fn shape(&self) -> Vec<Size> {
        self.file.values[self.here.index()].shape.clone()
    }

    fn parameter(&mut self, name: String, shape: &[i64], kind: ParameterKind) -> Literal {
        let value = self.value(shape.iter().map(|&size| Size::fixed(size)).collect());
        self.file.parameters.push(Parameter { name, kind, value, requires_grad: true, tied_to: None, numbers: None });
        Literal::Tensor(value)
    }

    /// Appends a node that reads the current end; its output becomes the end.
    pub fn node(&mut self, name: &str, op: &str, args: &[(&str, Literal)], shape: Vec<Size>) -> &mut Self {
        let output = self.value(shape);
        let name = if name.is_empty() { format!("{op}_{}", self.file.nodes.len()) } else { name.to_owned() };
        self.file.nodes.push(Node {
            name,
            op: op.to_owned(),
            overload: String::new(),
            args: args.iter().map(|(name, value)| Argument::positional(name, value.clone())).collect(),
            outputs: vec![output],
            list: false,
        });
        self.here = output;
        self
    }

    /// Appends a call that reads the current end as `self`; `sample` is the shape of its output without the batch.
    pub fn apply(&mut self, op: &str, args: &[(&str, Literal)], sample: &[i64]) -> &mut Self {
        let mut all = vec![("self", Literal::Tensor(self.here))];
        all.extend_from_slice(args);
        let shape = [Size::BATCH].into_iter().chain(sample.iter().map(|&size| Size::fixed(size))).collect();
        self.node("", op, &all, shape)
    }

    /// The same for a call that returns a list; the parts are returned and the end stays.
    pub fn apply_list(&mut self, op: &str, args: &[(&str, Literal)], samples: &[&[i64]]) -> Vec<ValueId> {
        let input = self.here;
        self.apply(op, args, samples[0]);
        let mut parts = vec![self.here];
        for sample in &samples[1..] {
            let shape = [Size::BATCH].into_iter().chain(sample.iter().map(|&size| Size::fixed(size))).collect();
            parts.push(self.value(shape));
        }
        let node = self.file.nodes.last_mut().expect("it was appended above");
        node.outputs.clone_from(&parts);
        node.list = true;
        self.here = input;
        parts
    }

    /// A parameter of its own, as an argument.
    pub fn weight(&mut self, name: &str, shape: &[i64]) -> Literal {
        self.parameter(name.to_owned(), shape, ParameterKind::Parameter)
    }

    /// A buffer of these integers, as an argument.
    pub fn numbers(&mut self, name: &str, numbers: &[i64]) -> Literal {
        let literal = self.parameter(name.to_owned(), &[numbers.len() as i64], ParameterKind::Buffer);
        let parameter = self.file.parameters.last_mut().expect("it was appended above");
        parameter.numbers = Some(numbers.to_vec());
        literal
    }

    /// A convolution with bias that keeps the image's size.
    pub fn conv(&mut self, name: &str, out: i64, kernel: i64, groups: i64) -> &mut Self {
        let mut shape = self.shape();
        let input = Literal::Tensor(self.here);
        let in_per_group = shape[1].fixed / groups;
        let weight =
            self.parameter(format!("{name}.weight"), &[out, in_per_group, kernel, kernel], ParameterKind::Parameter);
        let bias = self.parameter(format!("{name}.bias"), &[out], ParameterKind::Parameter);
        shape[1] = Size::fixed(out);
        let args =
            [("input", input), ("weight", weight), ("bias", bias), ("groups", Literal::Int(Size::fixed(groups)))];
        self.node(name, "aten::conv2d", &args, shape)
    }

    /// A transposed convolution with bias whose stride is its kernel.
    pub fn conv_transpose(&mut self, name: &str, out: i64, kernel: i64, groups: i64) -> &mut Self {
        let mut shape = self.shape();
        let input = Literal::Tensor(self.here);
        let weight = self.weight(&format!("{name}.weight"), &[shape[1].fixed, out / groups, kernel, kernel]);
        let bias = self.weight(&format!("{name}.bias"), &[out]);
        shape[1] = Size::fixed(out);
        for size in &mut shape[2..] {
            size.fixed *= kernel;
        }
        let args = [("input", input), ("weight", weight), ("bias", bias), ("groups", int(groups))];
        self.node(name, "aten::conv_transpose2d", &args, shape)
    }

    /// Recurrent layers over sequences `[B, steps, features]` that start at zero: an LSTM when there are four gates, a GRU when there are
    /// three, else plain ones. The weights of layer 0 and direction 0 are `ih_0_0`, `hh_0_0`, `b_0_0` and `c_0_0`.
    pub fn recurrent(&mut self, hidden: i64, gates: i64, layers: i64, directions: i64) -> &mut Self {
        let (input, mut shape) = (Literal::Tensor(self.here), self.shape());
        let mut params = Vec::new();
        for (layer, direction) in (0..layers).flat_map(|layer| (0..directions).map(move |direction| (layer, direction)))
        {
            let read = if layer == 0 { shape[2].fixed } else { hidden * directions };
            let shapes =
                [vec![gates * hidden, read], vec![gates * hidden, hidden], vec![gates * hidden], vec![gates * hidden]];
            for (name, shape) in ["ih", "hh", "b", "c"].into_iter().zip(shapes) {
                let Literal::Tensor(weight) = self.weight(&format!("{name}_{layer}_{direction}"), &shape) else {
                    continue;
                };
                params.push(Some(weight));
            }
        }
        let state = vec![Size::fixed(layers * directions), Size::BATCH, Size::fixed(hidden)];
        let mut zeros = vec![("size", Literal::Ints(state.clone()))];
        zeros.extend(["dtype", "layout", "device", "pin_memory"].map(|name| (name, Literal::None)));
        self.node("state", "aten::zeros", &zeros, state.clone());
        let zeros = self.here;
        let hx = if gates == 4 { Literal::Tensors(vec![Some(zeros); 2]) } else { Literal::Tensor(zeros) };
        let args = [
            ("input", input),
            ("hx", hx),
            ("params", Literal::Tensors(params)),
            ("has_biases", Literal::Bool(true)),
            ("num_layers", int(layers)),
            ("dropout", Literal::Float(0.0)),
            ("train", Literal::Bool(false)),
            ("bidirectional", Literal::Bool(directions == 2)),
            ("batch_first", Literal::Bool(true)),
        ];
        shape[2] = Size::fixed(hidden * directions);
        let op = match gates {
            4 => "aten::lstm",
            3 => "aten::gru",
            _ => "aten::rnn_tanh",
        };
        self.node("rnn", op, &args, shape);
        let states: Vec<ValueId> = (0..if gates == 4 { 2 } else { 1 }).map(|_| self.value(state.clone())).collect();
        let node = self.file.nodes.last_mut().expect("it was appended above");
        "input".clone_into(&mut node.overload);
        node.outputs.extend(states);
        self
    }

    /// Adds `layer_norm` over the last dimension.
    ///
    /// # Panics
    /// The value has no dimensions.
    pub fn layer_norm(&mut self, name: &str) -> &mut Self {
        let shape = self.shape();
        let features = [shape.last().expect("a layer norm reads at least a vector").fixed];
        let input = Literal::Tensor(self.here);
        let weight = self.weight(&format!("{name}.weight"), &features);
        let bias = self.weight(&format!("{name}.bias"), &features);
        let args = [("input", input), ("normalized_shape", ints(&features)), ("weight", weight), ("bias", bias)];
        self.node(name, "aten::layer_norm", &args, shape)
    }

    /// Adds `batch_norm` over dimension 1, as it is recorded.
    pub fn batch_norm(&mut self, name: &str) -> &mut Self {
        let shape = self.shape();
        let channels = [shape[1].fixed];
        let input = Literal::Tensor(self.here);
        let weight = self.parameter(format!("{name}.weight"), &channels, ParameterKind::Parameter);
        let bias = self.parameter(format!("{name}.bias"), &channels, ParameterKind::Parameter);
        let mean = self.parameter(format!("{name}.running_mean"), &channels, ParameterKind::Buffer);
        let var = self.parameter(format!("{name}.running_var"), &channels, ParameterKind::Buffer);
        let args = [
            ("input", input),
            ("weight", weight),
            ("bias", bias),
            ("running_mean", mean),
            ("running_var", var),
            ("training", Literal::Bool(false)),
            ("momentum", Literal::Float(0.1)),
            ("eps", Literal::Float(1e-5)),
            ("cudnn_enabled", Literal::Bool(true)),
        ];
        self.node(name, "aten::batch_norm", &args, shape)
    }

    /// Adds `linear` with a bias.
    ///
    /// # Panics
    /// The value has no dimensions.
    pub fn linear(&mut self, name: &str, out: i64) -> &mut Self {
        let mut shape = self.shape();
        let input = Literal::Tensor(self.here);
        let features = shape.last().expect("a linear layer reads at least a vector").fixed;
        let weight = self.parameter(format!("{name}.weight"), &[out, features], ParameterKind::Parameter);
        let bias = self.parameter(format!("{name}.bias"), &[out], ParameterKind::Parameter);
        *shape.last_mut().expect("as above") = Size::fixed(out);
        self.node(name, "aten::linear", &[("input", input), ("weight", weight), ("bias", bias)], shape)
    }

    /// The same as a traced model spells it.
    pub fn addmm(&mut self, name: &str, out: i64) -> &mut Self {
        let mut shape = self.shape();
        let input = Literal::Tensor(self.here);
        let features = shape[1].fixed;
        let weight = self.parameter(format!("{name}.weight"), &[out, features], ParameterKind::Parameter);
        let bias = self.parameter(format!("{name}.bias"), &[out], ParameterKind::Parameter);
        self.node("", "aten::t", &[("self", weight)], vec![Size::fixed(features), Size::fixed(out)]);
        let transposed = Literal::Tensor(self.here);
        shape[1] = Size::fixed(out);
        self.node(name, "aten::addmm", &[("self", bias), ("mat1", input), ("mat2", transposed)], shape)
    }

    /// Adds an operator of one input.
    pub fn unary(&mut self, op: &str) -> &mut Self {
        let (shape, input) = (self.shape(), Literal::Tensor(self.here));
        self.node("", op, &[("self", input)], shape)
    }

    /// Adds `relu`.
    pub fn relu(&mut self) -> &mut Self {
        self.unary("aten::relu")
    }

    /// Adds an operator of two inputs.
    pub fn binary(&mut self, op: &str, other: ValueId) -> &mut Self {
        let (shape, input) = (self.shape(), Literal::Tensor(self.here));
        self.node("", op, &[("self", input), ("other", Literal::Tensor(other))], shape)
    }

    /// Adds the sum with another value.
    pub fn add(&mut self, other: ValueId) -> &mut Self {
        self.binary("aten::add", other)
    }

    /// The current end is the larger operand.
    pub fn mul(&mut self, other: ValueId) -> &mut Self {
        self.binary("aten::mul", other)
    }

    /// `other`'s channels first.
    pub fn cat(&mut self, other: ValueId) -> &mut Self {
        let mut shape = self.shape();
        shape[1].fixed += self.file.values[other.index()].shape[1].fixed;
        let parts = Literal::Tensors(vec![Some(other), Some(self.here)]);
        self.node("", "aten::cat", &[("tensors", parts), ("dim", Literal::Int(Size::fixed(1)))], shape)
    }

    /// Down to a square image of this size.
    pub fn pool(&mut self, op: &str, size: i64) -> &mut Self {
        let mut shape = self.shape();
        let input = Literal::Tensor(self.here);
        shape[2] = Size::fixed(size);
        shape[3] = Size::fixed(size);
        self.node("", op, &[("self", input)], shape)
    }

    /// Adds `mean` over these dimensions.
    pub fn mean(&mut self, dims: &[i64], keepdim: bool) -> &mut Self {
        let input = Literal::Tensor(self.here);
        let mut shape = Vec::new();
        for (index, size) in self.shape().into_iter().enumerate() {
            if !dims.contains(&(index as i64)) {
                shape.push(size);
            } else if keepdim {
                shape.push(Size::fixed(1));
            }
        }
        let dims = Literal::Ints(dims.iter().map(|&dim| Size::fixed(dim)).collect());
        self.node("", "aten::mean", &[("self", input), ("dim", dims), ("keepdim", Literal::Bool(keepdim))], shape)
    }

    /// Adds `flatten` from dimension 1 on.
    pub fn flatten(&mut self) -> &mut Self {
        let input = Literal::Tensor(self.here);
        let features = self.shape()[1..].iter().map(|size| size.fixed).product();
        let shape = vec![Size::BATCH, Size::fixed(features)];
        let args =
            [("self", input), ("start_dim", Literal::Int(Size::fixed(1))), ("end_dim", Literal::Int(Size::fixed(-1)))];
        self.node("", "aten::flatten", &args, shape)
    }

    /// Adds `view`; one size may be -1.
    pub fn view(&mut self, sizes: &[Size]) -> &mut Self {
        let input = Literal::Tensor(self.here);
        let all: i64 = self.shape().iter().map(|size| size.at_batch(1)).product();
        let known: i64 = sizes.iter().map(|size| size.at_batch(1)).filter(|&size| size != -1).product();
        let resolve = |size: &Size| if *size == Size::fixed(-1) { Size::fixed(all / known) } else { *size };
        let shape = sizes.iter().map(resolve).collect();
        self.node("", "aten::view", &[("self", input), ("size", Literal::Ints(sizes.to_vec()))], shape)
    }

    /// Adds `transpose` of two dimensions.
    pub fn transpose(&mut self, one: usize, other: usize) -> &mut Self {
        let input = Literal::Tensor(self.here);
        let mut shape = self.shape();
        shape.swap(one, other);
        self.node(
            "",
            "aten::transpose",
            &[("self", input), ("dim0", int(one as i64)), ("dim1", int(other as i64))],
            shape,
        )
    }

    /// A linear layer whose output of `[tokens, heads * head_dim]` is viewed as `[heads, tokens, head_dim]`.
    fn heads(&mut self, name: &str, heads: i64, head_dim: i64) -> ValueId {
        let tokens = self.shape()[1];
        let sizes = [Size::BATCH, tokens, Size::fixed(heads), Size::fixed(head_dim)];
        self.linear(name, heads * head_dim).view(&sizes).transpose(1, 2).here()
    }

    fn queries_keys_values(&mut self, name: &str, heads: i64, head_dim: i64) -> [ValueId; 3] {
        let input = self.here();
        ["q", "k", "v"].map(|part| self.at(input).heads(&format!("{name}.{part}"), heads, head_dim))
    }

    /// Heads go back beside each other.
    fn merge_heads(&mut self, heads: i64, head_dim: i64) -> &mut Self {
        self.transpose(1, 2);
        let tokens = self.shape()[1];
        self.view(&[Size::BATCH, tokens, Size::fixed(heads * head_dim)])
    }

    /// Attention with queries, keys and values of their own, without the last projection.
    pub fn attention(&mut self, name: &str, heads: i64, head_dim: i64) -> &mut Self {
        let [query, key, value] = self.queries_keys_values(name, heads, head_dim);
        let shape = self.file.values[query.index()].shape.clone();
        let args = [
            ("query", Literal::Tensor(query)),
            ("key", Literal::Tensor(key)),
            ("value", Literal::Tensor(value)),
            ("attn_mask", Literal::None),
            ("dropout_p", Literal::Float(0.0)),
            ("is_causal", Literal::Bool(false)),
            ("scale", Literal::None),
            ("enable_gqa", Literal::Bool(false)),
        ];
        self.node("", "aten::scaled_dot_product_attention", &args, shape).merge_heads(heads, head_dim)
    }

    /// The same written out: products, a number as the scale, a softmax.
    pub fn matmul_attention(&mut self, name: &str, heads: i64, head_dim: i64) -> &mut Self {
        let [query, key, value] = self.queries_keys_values(name, heads, head_dim);
        self.at(key).transpose(2, 3);
        let key = self.here();
        let head_shape = self.file.values[query.index()].shape.clone();
        let scores_shape = vec![head_shape[0], head_shape[1], head_shape[2], head_shape[2]];
        let product = |left, right| [("self", Literal::Tensor(left)), ("other", Literal::Tensor(right))];
        self.node("", "aten::matmul", &product(query, key), scores_shape.clone());
        let scale = [("self", Literal::Tensor(self.here)), ("other", Literal::Float(0.5))];
        self.node("", "aten::mul", &scale, scores_shape.clone());
        let softmax = [("self", Literal::Tensor(self.here)), ("dim", int(-1))];
        self.node("", "aten::softmax", &softmax, scores_shape);
        self.node("", "aten::matmul", &product(self.here, value), head_shape).merge_heads(heads, head_dim)
    }
}
