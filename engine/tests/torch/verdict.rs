//! Files that load and run and of which nothing can be proved, and what a refusal says.

use crate::fixture::{module, random};
use secateur_core::graph::ParameterKind;
use secateur_core::rejection::Code;
use tch::Tensor;

/// A tensor of this shape whose last element is `value`.
fn ending_in(shape: &[i64], value: f64) -> Tensor {
    let tensor = random(shape);
    let _ = tensor.view([-1]).get(-1).fill_(value);
    tensor
}

#[test]
fn a_parameter_that_is_not_finite_is_refused_by_name_whether_or_not_it_is_read() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let archive = module()
            .parameter("fc.weight", &[4, 4])
            .tensor("head.weight", ParameterKind::Parameter, &ending_in(&[2, 4], value))
            .forward("def forward(self, x):\n    return torch.linear(x, self.fc.weight)")
            .write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert_eq!(rejection.node.as_deref(), Some("head.weight"));
        assert!(rejection.detail.contains("1 of 8 values") && rejection.detail.contains("[1, 3]"), "{rejection}");
    }
}

#[test]
fn a_tensor_with_the_one_name_that_weight_files_keep_is_refused() {
    let archive = module()
        .parameter("__metadata__", &[4, 4])
        .forward("def forward(self, x):\n    return torch.linear(x, self.__metadata__)")
        .write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert_eq!(rejection.node.as_deref(), Some("__metadata__"));
}

#[test]
fn a_mask_of_infinities_is_no_fault_as_long_as_the_outputs_are_finite() {
    let mask = ending_in(&[4], f64::NEG_INFINITY);
    let masked = |forward: &str| {
        module().parameter("fc.weight", &[4, 4]).tensor("mask", ParameterKind::Buffer, &mask).forward(forward).write()
    };
    let archive =
        masked("def forward(self, x):\n    return torch.softmax(torch.linear(x, self.fc.weight) + self.mask, 1)");
    assert!(archive.import(&[&[4]]).max_abs_diff < 1e-6);

    let archive = masked("def forward(self, x):\n    return (x, torch.linear(x, self.fc.weight) + self.mask)");
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("Output 1") && rejection.detail.contains("`mask`"), "{rejection}");
    assert!(rejection.detail.contains("4 of 16 values") && rejection.detail.contains("[0, 3]"), "{rejection}");
}

#[test]
fn outputs_that_are_not_numbers_are_refused_and_never_equal() {
    for forward in ["torch.log(torch.linear(x, self.fc.weight))", "torch.linear(x, self.fc.weight) / 0"] {
        let archive = module()
            .parameter("fc.weight", &[4, 4])
            .forward(&format!("def forward(self, x):\n    return {forward}"))
            .write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert!(rejection.detail.contains("Output 0"), "{rejection}");
        assert!(rejection.hint.is_some());
    }
}

#[test]
fn a_refusal_says_where_and_why_in_one_sentence() {
    for (forward, code, expected) in [
        ("torch.linear(x, self.fc.weight).view(7, 3)", Code::InputShape, "`aten::view`"),
        ("torch.linear(x, self.fc.weight)[:, 9]", Code::InputShape, "`aten::select`"),
        ("torch.linear(x, [self.fc.weight][3])", Code::InputShape, "`aten::__getitem__`"),
        ("torch.linear(x, (self.fc.weight, 1)[0]) * int('seven')", Code::InputShape, "`aten::Int`"),
    ] {
        let archive = module()
            .parameter("fc.weight", &[4, 4])
            .forward(&format!("def forward(self, x):\n    return {forward}"))
            .write();
        let rejection = archive.rejection(&[&[4]], code);
        assert!(rejection.detail.contains(expected), "{rejection}");
        assert!(rejection.detail.contains("code/__torch__"), "the line of the code: {rejection}");
        for inner in ["\n", "frame #", ".cpp", ".h\"", "0x7", "/root", "/pytorch", "backends:"] {
            assert!(!rejection.detail.contains(inner), "{inner}: {rejection}");
        }
        assert!(rejection.detail.len() < 500, "{rejection}");
    }
}

#[test]
fn an_error_that_the_model_raises_is_told_in_part() {
    let archive = module()
        .forward(&format!("def forward(self, x):\n    assert x.dim() == 9, '{}'\n    return x", "no ".repeat(5000)))
        .write();
    let rejection = archive.rejection(&[&[4]], Code::InputShape);
    assert!(rejection.detail.contains("no no no") && rejection.detail.chars().count() < 500, "{rejection}");
}

#[test]
fn what_only_fails_where_libtorch_runs_it_is_the_models_fault_too() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                if not torch.is_grad_enabled():
                    x = x.view(7, 3)
                return torch.linear(x, self.fc.weight)",
        )
        .write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("without gradients") && rejection.detail.contains("[7, 3]"), "{rejection}");
}
