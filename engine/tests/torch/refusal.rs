//! What import refuses, and the words in which it says why.

use crate::fixture::{module, operators};
use secateur_core::graph::ParameterKind;
use secateur_core::rejection::Code;
use secateur_engine::torch::{self, TorchError};
use tch::{Device, Kind, Tensor};

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
fn a_loop_that_goes_on_while_the_data_say_so_is_refused_by_name() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                while bool(x.max() > 1.0):
                    x = torch.linear(x, self.fc.weight) * 0.5
                return x",
        )
        .write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("`aten::Bool`"), "{rejection}");
    assert!(rejection.hint.is_some_and(|hint| hint.contains("torch.where")));
}

#[test]
fn repetitions_as_often_as_the_data_say_are_refused() {
    for repeats in ["x[0, :1].to(4)", "torch.arange(4)"] {
        let archive = module()
            .forward(&format!("def forward(self, x):\n    return torch.repeat_interleave(x, {repeats}, 1)"))
            .write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert!(rejection.detail.contains("`aten::repeat_interleave`"), "{rejection}");
    }
}

#[test]
fn an_attribute_that_is_filled_and_read_in_one_call_is_no_state() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .buffer("kept", &[4])
        .define("", "def fill(self, x):\n    self.kept = torch.relu(x)\n    return 0")
        .forward(
            "def forward(self, x):
                self.fill(torch.linear(x, self.fc.weight))
                return self.kept * 2",
        )
        .write();
    assert_eq!(operators(&archive.import(&[&[4]]).graph), ["linear", "relu", "mul"]);
}

#[test]
fn a_denied_operator_is_refused_even_where_it_is_never_reached() {
    for (statement, operator) in [
        ("torch.save(x, 'stolen')", "aten::save"),
        ("x = torch.from_file('secret')", "aten::from_file"),
        ("x = torch.as_strided(x, [100000], [1])", "aten::as_strided"),
        ("x = torch.nonzero(x)", "aten::nonzero"),
        ("x = x * torch.factorial(x.size(0))", "aten::factorial"),
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
fn a_model_that_returns_no_tensor_is_refused_as_such() {
    for returned in ["None", "(None, None)"] {
        let source = format!("def forward(self, x):\n    y = torch.linear(x, self.fc.weight)\n    return {returned}");
        let archive = module().parameter("fc.weight", &[4, 4]).forward(&source).write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert!(rejection.detail.contains("returns no tensor"), "{rejection}");
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

/// PyTorch's own code has such calls in branches: `torch.norm(x)` gives no `out`, and none of them is reached.
#[test]
fn a_result_that_is_written_into_a_given_tensor_is_refused_where_it_is_reached_only() {
    let forward = |out: &str| {
        let source = format!(
            "def forward(self, x):
                out = torch.jit.annotate(Optional[Tensor], {out})
                y = x
                if out is None:
                    y = torch.linalg_vector_norm(x, 2, [1], True)
                else:
                    y = torch.linalg_vector_norm(x, 2, [1], True, dtype=None, out=out)
                return torch.linear(y * x, self.fc.weight)"
        );
        module().parameter("fc.weight", &[3, 4]).forward(&source.replace("torch.jit.annotate", "annotate")).write()
    };
    assert_eq!(forward("None").import(&[&[4]]).graph.nodes().len(), 3);
    let rejection = forward("torch.zeros([1])").rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("(`out=`)"), "{rejection}");
}

#[test]
fn a_recurrent_layer_that_is_given_other_features_is_refused() {
    let archive = module()
        .parameter("w", &[8, 3])
        .parameter("u", &[8, 2])
        .forward(
            "def forward(self, x):
                h = torch.zeros([1, x.size(0), 2])
                return torch.lstm(x, [h, h], [self.w, self.u], False, 1, 0.0, False, False, True)[0]",
        )
        .write();
    archive.import(&[&[5, 3]]);
    let rejection = archive.rejection(&[&[5, 4]], Code::InputShape);
    assert!(rejection.detail.contains("is given 4 features; its weights are for 3"), "{rejection}");
}
