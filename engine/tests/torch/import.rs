//! What import accepts and what the graph then says.

use crate::fixture::{example, fixture, module, names, node, operators, peak_mebibytes, random};
use secateur_core::graph::{DType, Literal, Output, ParameterKind, Size};
use secateur_core::rejection::Code;
use secateur_core::spec::InputSpec;
use secateur_engine::torch::{self, TorchError};
use tch::Tensor;

#[test]
fn a_traced_network_brings_its_input_shape_and_keeps_every_name() {
    let imported = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    assert_eq!(imported.input_shapes, [vec![1, 8, 8]]);
    assert!(imported.max_abs_diff < 1e-5, "{}", imported.max_abs_diff);
    assert_eq!(imported.weights.len(), imported.graph.parameters().len());
    let stem: Vec<&str> = imported.graph.parameters().iter().take(6).map(|p| p.name.as_str()).collect();
    assert_eq!(
        stem,
        ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked"]
    );
    assert_eq!(&names(&imported.graph)[..4], ["conv1", "bn1", "relu_1", "layer1.0.conv1"]);
    assert!(names(&imported.graph).contains(&"layer2.0.shortcut.0"));
}

#[test]
fn a_scripted_network_needs_a_shape_and_keeps_in_place_operators_and_dropout() {
    let rejection = match torch::import(&example("vgg-digits.pt"), None) {
        Err(TorchError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    };
    assert_eq!(rejection.code, Code::InputShape);
    assert!(rejection.hint.unwrap().contains("input_shape"));

    let imported = torch::import(&example("vgg-digits.pt"), Some(&[vec![1, 8, 8]])).unwrap();
    assert!(imported.max_abs_diff < 1e-5, "{}", imported.max_abs_diff);
    let operators = operators(&imported.graph);
    assert_eq!(&operators[..3], ["conv2d", "batch_norm", "relu_"]);
    assert!(operators.contains(&"dropout"));
    assert!(!operators.contains(&"size"), "arithmetic on sizes is evaluated");
}

#[test]
fn the_shape_of_every_value_is_affine_in_the_batch() {
    let archive = module()
        .parameter("conv.weight", &[4, 3, 3, 3])
        .forward(
            "def forward(self, x):
                y = torch.conv2d(x, self.conv.weight, None, [1, 1], [1, 1])
                return y.view(y.size(0) * 2, 2, -1).mean(2)",
        )
        .write();
    let graph = archive.import(&[&[3, 6, 6]]).graph;
    let view = node(&graph, "view_1");
    let per_sample = |per_sample, fixed| Size { per_sample, fixed };
    assert_eq!(view.ints("size"), Some(&[per_sample(2, 0), per_sample(0, 2), per_sample(0, -1)][..]));
    assert_eq!(graph.value(view.outputs[0]).shape, [per_sample(2, 0), per_sample(0, 2), per_sample(0, 36)]);
    assert_eq!(graph.value(graph.inputs()[0]).shape, [Size::BATCH, Size::fixed(3), Size::fixed(6), Size::fixed(6)]);
}

#[test]
fn sizes_that_travel_as_tensors_leave_no_trace() {
    // What torch.jit.trace writes for `x.view(x.shape[0], x.shape[1] * x.shape[2] // 2, -1)`.
    let archive = module()
        .parameter("fc.weight", &[5, 8])
        .forward(
            "def forward(self, x):
                batch = torch.tensor(x.size(0))
                width = torch.floor_divide(torch.mul(torch.tensor(x.size(1)), torch.tensor(x.size(2))), torch.tensor(2))
                y = x.view(int(batch), int(width), -1)
                return torch.linear(y.flatten(1), self.fc.weight)",
        )
        .write();
    let graph = archive.import(&[&[4, 2]]).graph;
    assert_eq!(operators(&graph), ["view", "flatten", "linear"]);
    assert_eq!(node(&graph, "view_1").ints("size"), Some(&[Size::BATCH, Size::fixed(4), Size::fixed(-1)][..]));
    assert!(graph.parameters().iter().all(|parameter| parameter.kind == ParameterKind::Parameter));
}

#[test]
fn tensors_made_of_sizes_are_made_anew_for_every_batch() {
    let archive = module()
        .parameter("fc.weight", &[3, 3])
        .forward(
            "def forward(self, x):
                mask = torch.ones([x.size(0), 1], dtype=6)
                return torch.linear(x, self.fc.weight) * mask + torch.arange(3)",
        )
        .write();
    let graph = archive.import(&[&[3]]).graph;
    assert_eq!(node(&graph, "ones_1").ints("size"), Some(&[Size::BATCH, Size::fixed(1)][..]));
    assert!(operators(&graph).contains(&"arange"));
}

#[test]
fn conditions_on_shapes_and_loops_are_evaluated() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x, repeat: int = 3):
                if x.dim() == 2 and not self.training:
                    for i in range(repeat):
                        x = torch.relu(torch.linear(x, self.fc.weight))
                else:
                    assert False, 'only matrices'
                return x",
        )
        .write();
    let graph = archive.import(&[&[4]]).graph;
    assert_eq!(names(&graph), ["fc", "relu_1", "fc_2", "relu_2", "fc_3", "relu_3"]);
}

#[test]
fn activations_that_nothing_reads_any_more_are_let_go() {
    // 120 activations of 4 MiB a sample, through a called function, a loop, a branch and a view.
    let archive = module()
        .define(
            "block",
            "def forward(self, x):
                y = torch.sigmoid(x)
                if x.dim() == 3:
                    y = torch.tanh(y)
                return y.view(x.size(0), 512, 2048).transpose(1, 2)",
        )
        .forward(
            "def forward(self, x):
                for i in range(40):
                    x = self.block.forward(x).reshape(x.size(0), 1024, 1024)
                return x.mean([1, 2])",
        )
        .write();
    let before = peak_mebibytes();
    let graph = archive.import(&[&[1024, 1024]]).graph;
    let more = peak_mebibytes() - before;
    assert_eq!(operators(&graph).iter().filter(|operator| **operator == "tanh").count(), 40);
    // A dozen of them at batch 4; all of them would be 960 MiB at batch 2.
    assert!(more < 200, "{more} MiB");
}

#[test]
fn methods_of_submodules_name_their_nodes() {
    let archive = module()
        .conv_and_norm("stage.0", &[4, 3, 3, 3])
        .define(
            "stage.0",
            "def forward(self, x, slope: float):
                x = torch.conv2d(x, self.conv.weight)
                n = self.norm
                x = torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, self.training, 0.1, 1e-05, True)
                return torch.leaky_relu(x, slope)",
        )
        .forward("def forward(self, x):\n    return getattr(self.stage, '0').forward(x, 0.1)")
        .write();
    let graph = archive.import(&[&[3, 5, 5]]).graph;
    assert_eq!(names(&graph), ["stage.0.conv", "stage.0.norm", "leaky_relu_1"]);
    assert_eq!(node(&graph, "stage.0.norm").bool("training"), Some(false));
    assert_eq!(node(&graph, "leaky_relu_1").arg("negative_slope"), Some(&Literal::Float(0.1)));
    assert!(node(&graph, "stage.0.conv").args.iter().all(|arg| !arg.keyword));
}

#[test]
fn outputs_keep_their_structure() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                a, b = torch.chunk(torch.linear(x, self.fc.weight), 2, 1)
                return {'both': (a, [b, x]), 'sum': a + b}",
        )
        .write();
    let graph = archive.import(&[&[4]]).graph;
    let chunk = node(&graph, "chunk_1");
    assert!(chunk.list);
    let Output::Dict(entries) = graph.output() else { panic!("{:?}", graph.output()) };
    assert_eq!(entries[0].0, "both");
    let (a, b) = (Output::Tensor(chunk.outputs[0]), Output::Tensor(chunk.outputs[1]));
    let x = Output::Tensor(graph.inputs()[0]);
    assert_eq!(entries[0].1, Output::Tuple(vec![a, Output::List(vec![b, x])]));
}

#[test]
fn tied_weights_are_one_value() {
    let weight = random(&[4, 4]);
    let archive = module()
        .tensor("encoder.weight", ParameterKind::Parameter, &weight)
        .tensor("decoder.weight", ParameterKind::Parameter, &weight)
        .forward(
            "def forward(self, x):
                return torch.linear(torch.relu(torch.linear(x, self.encoder.weight)), self.decoder.weight)",
        )
        .write();
    let graph = archive.import(&[&[4]]).graph;
    let [encoder, decoder] = graph.parameters() else { panic!() };
    assert_eq!(decoder.tied_to.as_deref(), Some("encoder.weight"));
    assert_eq!(encoder.value, decoder.value);
}

#[test]
fn an_operator_that_returns_its_input_is_a_value_of_its_own() {
    // In training the dropout changes its result, so the sum must not read it twice.
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                x = torch.linear(x, self.fc.weight)
                y = torch.dropout(x.contiguous(), 0.5, self.training)
                return x + y",
        )
        .write();
    let graph = archive.import(&[&[4]]).graph;
    let add = node(&graph, "add_1");
    assert_eq!(add.tensor("self"), Some(node(&graph, "fc").outputs[0]));
    assert_eq!(add.tensor("other"), Some(node(&graph, "dropout_1").outputs[0]));
}

#[test]
fn an_auxiliary_output_that_is_none_stays_none() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                aux: Optional[Tensor] = None
                if self.training:
                    aux = torch.relu(x)
                out = torch.linear(x, self.fc.weight)
                named: Dict[str, Optional[Tensor]] = {'out': out, 'aux': aux}
                return (out, aux, named, [aux, out])",
        )
        .write();
    let imported = archive.import(&[&[4]]);
    let Output::Tuple(parts) = imported.graph.output() else { panic!("{:?}", imported.graph.output()) };
    assert_eq!(parts[1], Output::None);
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("again.pt");
    torch::export(&imported.graph, &imported.weights, &written, &[]).unwrap();
    let again = torch::import(&written, Some(&[vec![4]])).unwrap();
    assert_eq!(again.graph.output(), imported.graph.output());
}

#[test]
fn plain_tensor_attributes_come_last_and_only_when_read() {
    let archive = module()
        .tensor("position", ParameterKind::Constant, &random(&[4]))
        .tensor("unused", ParameterKind::Constant, &random(&[4]))
        .parameter("fc.weight", &[4, 4])
        .forward("def forward(self, x):\n    return torch.linear(x + self.position, self.fc.weight)")
        .write();
    let graph = archive.import(&[&[4]]).graph;
    let parameters: Vec<(&str, ParameterKind)> =
        graph.parameters().iter().map(|parameter| (parameter.name.as_str(), parameter.kind)).collect();
    assert_eq!(parameters, [("fc.weight", ParameterKind::Parameter), ("position", ParameterKind::Constant)]);
}

#[test]
fn a_mask_of_minus_infinity_survives_the_wire() {
    let archive =
        module().forward("def forward(self, x):\n    return x.masked_fill(x > 0, float('-inf')).softmax(1)").write();
    let graph = archive.import(&[&[4]]).graph;
    let again = secateur_core::graph::Graph::from_json(&graph.to_json()).unwrap();
    assert_eq!(node(&again, "masked_fill_1").arg("value"), Some(&Literal::Float(f64::NEG_INFINITY)));
}

#[test]
fn the_largest_float_comes_back_as_it_was() {
    // How transformers hide what may not be seen; the next float64 is no float32 any more.
    let lowest = f64::from(f32::MIN);
    let archive = module()
        .forward(&format!("def forward(self, x):\n    return x.masked_fill(x > 0, {lowest:?}).softmax(1)"))
        .write();
    let graph = archive.import(&[&[4]]).graph;
    assert_eq!(node(&graph, "masked_fill_1").arg("value"), Some(&Literal::Float(lowest)));
    let again = secateur_core::graph::Graph::from_json(&graph.to_json()).unwrap();
    assert_eq!(node(&again, "masked_fill_1").arg("value"), Some(&Literal::Float(lowest)));
}

#[test]
fn the_path_that_can_be_trained_is_recorded() {
    // PyTorch's transformer layers ask this way whether they may take a fused path.
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                if not torch.is_grad_enabled():
                    return torch.relu(torch.linear(x, self.fc.weight))
                return torch.clamp(torch.linear(x, self.fc.weight), 0)",
        )
        .write();
    assert_eq!(operators(&archive.import(&[&[4]]).graph), ["linear", "clamp"]);
}

#[test]
fn a_nested_list_of_numbers_becomes_a_constant() {
    let archive = module()
        .parameter("fc.weight", &[2, 2])
        .forward(
            "def forward(self, x):\n    return torch.linear(x, self.fc.weight) @ torch.tensor([[1., 2.], [3., 4.]])",
        )
        .write();
    let imported = archive.import(&[&[2]]);
    let constant = imported.graph.parameters().last().unwrap();
    assert_eq!((constant.name.as_str(), constant.kind), ("CONSTANTS.c0", ParameterKind::Constant));
    assert_eq!(imported.weights.last().unwrap(), &Tensor::from_slice2(&[[1f32, 2.], [3., 4.]]));
}

#[test]
fn a_number_of_repetitions_that_travels_as_a_tensor_is_a_number() {
    // What torch.jit.trace writes for `x.repeat_interleave(windows.shape[0] // x.shape[0], dim=0)`.
    let archive = module()
        .forward(
            "def forward(self, x):
                windows = x.view(x.size(0) * 4, 2)
                times = torch.floor_divide(torch.tensor(windows.size(0)), torch.tensor(x.size(0)))
                return (torch.repeat_interleave(x[:, :2], times, 0) * windows).view(x.size(0), 4, 2)",
        )
        .write();
    let graph = archive.import(&[&[8]]).graph;
    let repeated = node(&graph, "repeat_interleave_1");
    assert_eq!((repeated.overload.as_str(), repeated.int("repeats")), ("self_int", Some(4)));
    assert_eq!(graph.value(repeated.outputs[0]).shape[0], Size { per_sample: 4, fixed: 0 });
}

#[test]
fn what_hangs_on_the_size_of_the_input_is_noted_by_module_and_line() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .parameter("pool.scale", &[1])
        .define(
            "pool",
            "def forward(self, x):
                steps = 0
                while x.size(1) > 2:
                    x = x[:, ::2] * self.scale
                    steps = steps + 1
                return x",
        )
        .forward(
            "def forward(self, x):
                if x.size(1) >= 8:
                    x = self.pool.forward(x)
                    return torch.linear(x.repeat([1, 2]), self.fc.weight)
                else:
                    return torch.linear(x, self.fc.weight)",
        )
        .write();
    let large = archive.import(&[&[8]]).graph;
    let halves = operators(&large).iter().filter(|operator| **operator == "mul").count();
    assert_eq!(halves, 2, "the loop went around twice");
    let places = &large.file().specialisations;
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(
        places[0].starts_with("the model itself (code/__torch__") && places[1].starts_with("pool (code/__torch__"),
        "{places:?}"
    );
    let small = archive.import(&[&[4]]).graph;
    assert_eq!(operators(&small), ["linear"]);
    assert_eq!(small.file().specialisations.len(), 1);
}

/// In a trace a Python number is a constant of no dimensions, float64; PyTorch's executor makes it a number again.
#[test]
fn a_python_number_in_a_trace_is_a_number_and_leaves_the_dtype_to_the_tensor() {
    let imported = torch::import(&fixture("families/numbers.pt"), None).unwrap();
    let graph = &imported.graph;
    let dtypes: Vec<_> = graph.output().tensors().iter().map(|&value| graph.value(value).dtype).collect();
    assert_eq!(dtypes, [DType::Float32; 3]);
    let sum = graph.nodes().iter().find(|node| node.op == "aten::add").expect("the grid is shifted");
    assert_eq!((sum.overload.as_str(), sum.arg("other")), ("Scalar", Some(&Literal::Float(0.5))));
    assert!(graph.parameters().iter().all(|parameter| parameter.kind != ParameterKind::Constant));
}

#[test]
fn inputs_are_told_apart_by_the_names_of_arguments() {
    let path = fixture("two-inputs.pt");
    let input = |name: &str, size: i64| InputSpec { name: Some(name.to_owned()), ..InputSpec::from(vec![size]) };
    let imported = torch::import_with(&path, Some(&[input("right", 5), input("left", 4)])).unwrap();
    assert_eq!(imported.input_shapes, [[4], [5]]);
    assert_eq!(imported.graph.file().input_names, ["left", "right"]);

    for (inputs, why) in [
        (vec![input("left", 4), input("left", 4)], "There are two inputs named `left`"),
        (vec![input("left", 4), input("middle", 5)], "the arguments of `forward` are `left`, `right`"),
    ] {
        match torch::import_with(&path, Some(&inputs)) {
            Err(TorchError::Rejected(rejection)) => assert!(rejection.detail.contains(why), "{}", rejection.detail),
            other => panic!("{other:?}"),
        }
    }
}
