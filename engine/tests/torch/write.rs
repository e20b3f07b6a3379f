//! Writes in place and through views: what the graph says in their place, and which are refused.

use crate::fixture::{module, node, operators};
use secateur_core::graph::ParameterKind;
use secateur_core::rejection::Code;

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
fn writes_into_inputs_and_weights_are_refused() {
    for (source, what) in [
        ("def forward(self, x):\n    return torch.linear(torch.relu_(x), self.fc.weight)", "an input"),
        ("def forward(self, x):\n    return torch.linear(torch.relu_(x.view(-1, 4)), self.fc.weight)", "an input"),
        ("def forward(self, x):\n    return torch.linear(x, torch.mul_(self.fc.bias, 2))", "`fc.bias` of the model"),
    ] {
        let archive = module().parameter("fc.weight", &[4, 4]).buffer("fc.bias", &[4, 4]).forward(source).write();
        let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
        assert!(rejection.detail.contains(what), "{rejection}");
    }
}
