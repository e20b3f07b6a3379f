//! What import accepts, what the graph then says, and what it refuses and why.

use crate::fixture::{example, module, names, node, operators, random};
use secateur_core::graph::{Literal, Output, ParameterKind, Size};
use secateur_core::rejection::Code;
use secateur_engine::torch::{self, TorchError};
use tch::{Device, Kind, Tensor};

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
fn an_in_place_operator_makes_a_new_value() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, self.fc.weight)
                torch.relu_(y)
                y.add_(x)
                return y",
        )
        .write();
    let graph = archive.import(&[&[4]]).graph;
    assert_eq!(operators(&graph), ["linear", "relu_", "add_"]);
    assert_eq!(node(&graph, "add_1").tensor("self"), Some(node(&graph, "relu_1").outputs[0]));
}

#[test]
fn a_write_into_one_half_leaves_the_other_readable() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                a, b = torch.chunk(torch.linear(x, self.fc.weight), 2, 1)
                torch.relu_(a)
                return a + b",
        )
        .write();
    assert_eq!(operators(&archive.import(&[&[4]]).graph), ["linear", "chunk", "relu", "add"]);
}

#[test]
fn a_write_through_a_view_is_said_as_a_computation() {
    for (write, put_back) in [
        ("torch.relu_(y.view(-1))", "reshape"),
        ("torch.relu_(y.t())", "permute"),
        ("torch.relu_(y[:, 1:3])", "cat"),
        ("torch.fill_(y[:, 1], 3)", "cat"),
        ("y[:, 1:] = 5.0", "cat"),
        ("y[:, ::2] = y[:, 1::2]", "slice_scatter"),
    ] {
        let source =
            format!("def forward(self, x):\n    y = torch.linear(x, self.fc.weight)\n    {write}\n    return y * 2");
        let archive = module().parameter("fc.weight", &[4, 4]).forward(&source).write();
        let imported = archive.import(&[&[4]]);
        assert!(imported.max_abs_diff < 1e-6, "{write}: {}", imported.max_abs_diff);
        let operators = operators(&imported.graph);
        assert_eq!(operators[operators.len() - 2..], [put_back, "mul"], "{write}: {operators:?}");
    }
}

#[test]
fn a_view_taken_before_a_write_is_taken_again() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, self.fc.weight)
                left, both = y[:, :2], y.view(-1, 2, 2)
                y.select(1, 0).add_(1.0)
                left.mul_(2.0)
                return both.sum(1) + left + y[:, 2:]",
        )
        .write();
    let imported = archive.import(&[&[4]]);
    assert!(imported.max_abs_diff < 1e-6, "{}", imported.max_abs_diff);
}

#[test]
fn what_is_written_into_fresh_memory_reaches_the_output() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, self.fc.weight)
                out = torch.zeros_like(y)
                out[:, 1:] = y[:, :-1]
                out[:, 0] = y[:, 3]
                return out",
        )
        .write();
    let imported = archive.import(&[&[4]]);
    assert!(imported.max_abs_diff < 1e-6, "{}", imported.max_abs_diff);
    assert!(operators(&imported.graph).contains(&"zeros_like"));
}

#[test]
fn a_mask_that_is_written_piece_by_piece_is_a_constant() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                mask = x.new_zeros([2, 4])
                mask[0, 1:3] = 1.0
                mask[1] = -2.0
                return torch.linear(x, self.fc.weight) * mask[0] + mask.sum(0)",
        )
        .write();
    let imported = archive.import(&[&[4]]);
    assert_eq!(operators(&imported.graph), ["linear", "select", "mul", "sum", "add"]);
    assert!(imported.graph.parameters().iter().any(|parameter| parameter.kind == ParameterKind::Constant));
}

#[test]
fn a_write_that_no_slice_can_say_is_refused() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, self.fc.weight).unsqueeze(2).repeat(1, 1, 4)
                torch.relu_(torch.diagonal(y, 0, 1, 2))
                return y * 2",
        )
        .write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("`aten::mul`"), "{rejection}");
    assert!(rejection.detail.contains("`aten::relu_`"), "{rejection}");
    assert!(rejection.detail.contains(".py:"), "{rejection}");
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
fn writes_into_inputs_and_weights_are_refused() {
    for (source, what) in [
        ("def forward(self, x):\n    return torch.linear(torch.relu_(x), self.fc.weight)", "an input"),
        ("def forward(self, x):\n    return torch.linear(torch.relu_(x.view(-1, 4)), self.fc.weight)", "an input"),
        ("def forward(self, x):\n    return torch.linear(x, torch.mul_(self.fc.bias, 2))", "a weight"),
    ] {
        let archive = module().parameter("fc.weight", &[4, 4]).buffer("fc.bias", &[4, 4]).forward(source).write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert!(rejection.detail.contains(what), "{rejection}");
    }
}

#[test]
fn control_flow_on_data_is_refused_by_name() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, self.fc.weight)
                if bool(y.sum() > 0):
                    y = torch.relu(y)
                return y",
        )
        .write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("`aten::Bool`"), "{rejection}");
}

#[test]
fn state_that_forward_changes_is_refused() {
    let archive = module()
        .buffer("count", &[1])
        .forward(
            "def forward(self, x):
                self.count = self.count + 1
                return x * self.count",
        )
        .write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("`count`"), "{rejection}");
}

#[test]
fn a_denied_operator_is_refused_even_where_it_is_never_reached() {
    for (statement, operator) in [
        ("torch.save(x, 'stolen')", "aten::save"),
        ("x = torch.from_file('secret')", "aten::from_file"),
        ("x = torch.as_strided(x, [100000], [1])", "aten::as_strided"),
        ("x = torch.nonzero(x)", "aten::nonzero"),
    ] {
        let source = format!("def forward(self, x):\n    if x.dim() > 7:\n        {statement}\n    return x");
        let rejection = module().forward(&source).write().rejection(&[&[4]], Code::UnsupportedOperator);
        assert!(rejection.detail.contains(operator), "{rejection}");
    }
}

#[test]
fn a_denied_operator_in_a_method_that_nothing_calls_is_refused() {
    let archive = module()
        .parameter("part.weight", &[4])
        .define("part", "def spare(self, x):\n    return torch.as_strided(x, [2], [1])")
        .forward("def forward(self, x):\n    return x * self.part.weight")
        .write();
    archive.rejection(&[&[4]], Code::UnsupportedOperator);
}

#[test]
fn an_endless_loop_is_refused() {
    let archive =
        module().forward("def forward(self, x):\n    while x.dim() > 0:\n        y = x.size(0)\n    return x").write();
    archive.rejection(&[&[4]], Code::UnsupportedModel);
}

#[test]
fn randomness_in_evaluation_is_refused() {
    let archive = module().forward("def forward(self, x):\n    return x + torch.rand_like(x)").write();
    archive.rejection(&[&[4]], Code::UnsupportedModel);
    let archive = module().forward("def forward(self, x):\n    return torch.dropout(x, 0.5, True)").write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.hint.unwrap().contains("eval()"));
}

#[test]
fn a_batch_that_is_written_into_the_model_is_refused() {
    let linear = "torch.linear(x, self.fc.weight)";
    for source in [
        // Fails at other batches, gives a wrong shape at other batches, computes something else at other batches.
        format!("def forward(self, x):\n    return {linear}.view(1, 4)"),
        format!("def forward(self, x):\n    return {linear}.view(1, -1)"),
        format!("def forward(self, x):\n    if x.size(0) == 2:\n        x = torch.relu(x)\n    return {linear}"),
        format!("def forward(self, x):\n    return {linear} * (1.0 / x.size(0))"),
        format!("def forward(self, x):\n    return {linear} * torch.tensor([[1, 2, 3, x.size(0)]])"),
    ] {
        let archive = module().parameter("fc.weight", &[4, 4]).forward(&source).write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert!(rejection.detail.contains("batch"), "{rejection}");
    }
}

#[test]
fn a_shape_that_does_not_fit_is_refused_with_libtorchs_words() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward("def forward(self, x):\n    return torch.linear(x, self.fc.weight)")
        .write();
    let rejection = archive.rejection(&[&[5]], Code::InputShape);
    assert!(rejection.detail.contains("[5]"), "{rejection}");
    assert!(rejection.detail.contains("2x5 and 4x4"), "{rejection}");
    let archive = module().forward("def forward(self, x):\n    assert x.dim() == 3, 'images'\n    return x").write();
    let rejection = archive.rejection(&[&[5]], Code::InputShape);
    assert!(rejection.detail.contains("images"), "{rejection}");
}

#[test]
fn the_number_of_inputs_is_checked() {
    let archive =
        module().forward("def forward(self, a, b, c: Optional[Tensor] = None):\n    if c is None:\n        c = a\n    return a + b + c").write();
    let rejection = archive.rejection(&[&[4]], Code::InputCount);
    assert!(rejection.detail.contains("2 to 3") && rejection.detail.contains("1 input shapes"), "{rejection}");
    assert_eq!(archive.import(&[&[4], &[4]]).graph.inputs().len(), 2);
    assert_eq!(archive.import(&[&[4], &[4], &[4]]).graph.inputs().len(), 3);
}

#[test]
fn only_float32_weights_are_accepted() {
    for kind in [Kind::Half, Kind::BFloat16, Kind::Double] {
        let weight = Tensor::zeros([4, 4], (kind, Device::Cpu));
        let archive = module()
            .tensor("fc.weight", ParameterKind::Parameter, &weight)
            .forward("def forward(self, x):\n    return torch.linear(x, self.fc.weight)")
            .write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedDtype);
        assert_eq!(rejection.node.as_deref(), Some("fc.weight"));
    }
    let count = Tensor::zeros([], (Kind::Int64, Device::Cpu));
    let archive = module()
        .tensor("count", ParameterKind::Buffer, &count)
        .forward("def forward(self, x):\n    return x + self.count")
        .write();
    assert_eq!(archive.import(&[&[4]]).graph.parameters()[0].name, "count");
}

#[test]
fn a_file_that_is_no_archive_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    std::fs::write(&path, b"PK nonsense").unwrap();
    let Err(TorchError::Rejected(rejection)) = torch::import(&path, None) else { panic!() };
    assert_eq!(rejection.code, Code::DamagedArchive);
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
