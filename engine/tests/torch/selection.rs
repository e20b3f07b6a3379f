//! Channels that are taken by their places: permutations, selections, every second one; from TorchScript source to a proved cut.

use secateur_core::graph::ParameterKind;
use tch::Tensor;

use crate::fixture::module;
use crate::surgery::{prune, with_layers};

#[test]
fn a_permutation_and_a_selection_of_channels_by_buffers() {
    let archive = with_layers(module(), &[("a", &[6, 3, 3, 3]), ("b", &[4, 6, 1, 1]), ("c", &[4, 2, 1, 1])])
        .tensor("order", ParameterKind::Buffer, &Tensor::from_slice(&[3i64, 5, 0, 4, -4, 1]))
        .tensor("some", ParameterKind::Buffer, &Tensor::from_slice(&[4i64, 1]))
        .forward(
            "def forward(self, x):
                x = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]))
                b = torch.conv2d(x[:, self.order], self.b.weight, self.b.bias)
                return b + torch.conv2d(x.index_select(1, self.some), self.c.weight, self.c.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["order:0 a:0 a.bias:0 b:1", "order:0 some:0 a:0 a.bias:0 b:1 c:1"]);
}

#[test]
fn a_rotation_of_neighbouring_features_keeps_its_pairs() {
    let archive = with_layers(module(), &[("a", &[12, 10]), ("b", &[5, 12])])
        .parameter("sine", &[7, 12])
        .forward(
            "def forward(self, x):
                x = torch.linear(x, self.a.weight, self.a.bias)
                turned = torch.stack([torch.neg(x[:, :, 1::2]), x[:, :, ::2]], -1).reshape(x.shape)
                return torch.linear(x * 0.5 + turned * self.sine, self.b.weight, self.b.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[7, 10]]);
    assert_eq!(groups, ["sine:1 a:0 a.bias:0 b:1"], "six pairs");
}
