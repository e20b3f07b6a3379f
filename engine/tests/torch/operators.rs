//! Operators one by one: those with a rule hand the channels on, and those without are imported, recorded and run.

use secateur_core::group::Grouping;

use crate::fixture::module;
use crate::surgery::{prune, with_layers};

/// A network of two convolutions, from `[3, 6, 6]` to `[2, 6, 6]`, with this between them.
fn forward(middle: &str) -> String {
    format!(
        "def forward(self, x):
            x = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1])
            return torch.conv2d({middle}, self.b.weight, self.b.bias)"
    )
}

const LAYERS: [(&str, &[i64]); 2] = [("a", &[6, 3, 3, 3]), ("b", &[2, 6, 1, 1])];

#[test]
fn functions_of_every_number_hand_the_channels_on() {
    for middle in [
        "torch.asinh(x)",
        "torch.exp2(x)",
        "torch.sinc(x)",
        "torch.erfinv(torch.tanh(x) * 0.9)",
        "torch.lgamma(torch.abs(x) + 1.)",
        "torch.logaddexp(x, torch.neg(x))",
        "torch.fmax(x, torch.arctan2(x, torch.exp(x)))",
        "torch.float_power(torch.abs(x), 1.5).to(6)",
        "torch.heaviside(x, torch.sigmoid(x)) * x",
        "torch.concatenate([x, x], 2)[:, :, :6]",
        "x.mT",
        "torch.adjoint(torch.mH(x))",
    ] {
        let archive = with_layers(module(), &LAYERS).forward(&forward(middle)).write();
        assert_eq!(prune(&archive, &[&[3, 6, 6]]), ["a:0 a.bias:0 b:1"], "{middle}");
    }
}

#[test]
fn a_weight_that_is_turned_by_its_attribute_is_the_weight_of_a_layer() {
    let archive = with_layers(module(), &[("a", &[6, 4]), ("b", &[3, 6])])
        .forward(
            "def forward(self, x):
                x = torch.relu(torch.matmul(x, torch.numpy_T(self.a.weight)) + self.a.bias)
                return torch.addmm(self.b.bias, x, torch.numpy_T(self.b.weight))",
        )
        .write();
    assert_eq!(prune(&archive, &[&[4]]), ["a:0 a.bias:0 b:1"]);
}

/// The network is imported and told as a whole; what the operator touches stays.
#[test]
fn an_operator_without_a_rule_is_recorded_and_keeps_its_channels() {
    for middle in [
        "x + torch.cdist(x.flatten(2), x.flatten(2)).mean([1, 2]).view(-1, 1, 1, 1)",
        "x * torch.nanmean(x, [1], True)",
        "x - torch.quantile(x, 0.5, 1, True)",
        "x - torch.kthvalue(x, 2, 1, True)[0]",
        "x - torch.aminmax(x, dim=1, keepdim=True)[0]",
        "torch.index_fill(x, 1, torch.arange(2), 0.)",
        "torch.masked_scatter(x, torch.arange(6).view(1, 6, 1, 1) < 2, torch.zeros_like(x))",
        "torch.logcumsumexp(x, 1)",
        "x * torch.bucketize(x, torch.linspace(-1., 1., 5)).to(6)",
        "torch.cat([torch.diff(x, dim=1), x[:, :1]], 1)",
        "x.fliplr()",
    ] {
        let archive = with_layers(module(), &LAYERS).forward(&forward(middle)).write();
        let graph = archive.import(&[&[3, 6, 6]]).graph;
        let cut: Vec<String> = Grouping::of(&graph).groups().iter().flat_map(|group| group.tensors()).collect();
        assert!(cut.iter().all(|tensor| !tensor.starts_with("a.weight:0")), "{middle}");
        prune(&archive, &[&[3, 6, 6]]);
    }
}
