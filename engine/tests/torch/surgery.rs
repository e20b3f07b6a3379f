//! Small networks from TorchScript source to a proved cut: imported, grouped, cut at several widths, held against the
//! oracle, exported, and reloaded. Among them are the cases of the peer's own tests and of its open bugs.

use std::path::Path;

use crate::fixture::{Archive, Source, module, random};
use secateur_core::configuration::Configuration;
use secateur_core::graph::{Graph, ParameterKind};
use secateur_core::group::Grouping;
use secateur_core::surgery;
use secateur_engine::network::{Network, cut};
use secateur_engine::proof::difference;
use secateur_engine::proof::oracle;
use secateur_engine::torch::{self, Imported, Reloaded};
use tch::{Device, Kind, Tensor};

/// Cuts every group to a half, to a single channel, and to two thirds of others; returns the groups, as their tensors
/// without `.weight`.
pub(crate) fn prune(archive: &Archive, shapes: &[&[i64]]) -> Vec<String> {
    let Imported { graph, weights, .. } = archive.import(shapes);
    let grouping = Grouping::of(&graph);
    let original = Network::new(graph, weights).unwrap();
    for (share, step) in [(0.5, 1), (0.0, 1), (0.67, 3)] {
        let keep = grouping.groups().iter().enumerate().map(|(number, group)| {
            let channels = group.channels();
            let width = ((channels as f64 * share) as usize).max(1);
            // Steps of three go around without meeting, unless the number of channels is a multiple of three.
            let step = if channels % step == 0 { 1 } else { step };
            let mut keep: Vec<u32> = (0..width).map(|rank| ((rank * step + number) % channels) as u32).collect();
            keep.sort_unstable();
            keep
        });
        prune_to(archive, &original, &grouping, &Configuration { keep: keep.collect() }, shapes);
    }
    grouping.groups().iter().map(|group| group.tensors().join(" ").replace(".weight", "")).collect()
}

fn prune_to(
    archive: &Archive,
    original: &Network,
    grouping: &Grouping,
    configuration: &Configuration,
    shapes: &[&[i64]],
) {
    let cut = surgery::cut(original.graph(), grouping, configuration).unwrap();
    let weights = cut::apply(original.graph(), &cut, original.weights()).unwrap();
    let pruned = Network::new(cut.graph.clone(), weights).unwrap();
    oracle::check(0, original, &cut, &pruned, None, 1).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pruned.pt");
    torch::export(pruned.graph(), pruned.weights(), &path, &[]).unwrap();
    assert_answers(&path, &pruned, shapes);
    let cut = (pruned.graph(), pruned.weights());
    match torch::patch(&archive.path, original.graph(), cut, &path, &[]) {
        Ok(_) => assert_answers(&path, &pruned, shapes),
        Err(reason) => assert!(NOT_PATCHED.iter().any(|known| reason.to_string().contains(known)), "{reason}"),
    }
}

/// Why the program of a test cannot be patched: a fused operator that the graph says with several, and a `squeeze` that becomes
/// another operator where one channel is left.
const NOT_PATCHED: [&str; 2] = ["`size` of `view_1` (aten::view)", "mat1 and mat2 shapes cannot be multiplied"];

/// The file computes what the network does.
fn assert_answers(path: &Path, pruned: &Network, shapes: &[&[i64]]) {
    let reloaded = Reloaded::open(path, Device::Cpu).unwrap();
    for batch in [1, 3] {
        let inputs: Vec<Tensor> = shapes.iter().map(|shape| random(&[&[batch], *shape].concat())).collect();
        let expected = pruned.evaluate(&inputs).unwrap();
        let actual = reloaded.forward(&inputs).unwrap();
        // Weights of a size that no training gives make rounding show, so it is measured by what the outputs are.
        let found = difference::between(&actual, &expected).unwrap();
        assert!(difference::is_within_tolerance(found), "{found:?}");
    }
}

/// A module with convolutions or linear layers of these names and shapes, each with a bias, and this `forward`.
fn layers(weights: &[(&str, &[i64])], forward: &str) -> Archive {
    with_layers(module(), weights).forward(forward).write()
}

pub(crate) fn with_layers(module: Source, weights: &[(&str, &[i64])]) -> Source {
    weights.iter().fold(module, |module, (name, shape)| {
        module.parameter(&format!("{name}.weight"), shape).parameter(&format!("{name}.bias"), &shape[..1])
    })
}

#[test]
fn a_split_concatenation_and_a_cascade_of_them() {
    let archive = layers(
        &[
            ("a", &[4, 3, 3, 3]),
            ("b", &[6, 3, 3, 3]),
            ("c", &[5, 10, 1, 1]),
            ("d", &[7, 6, 1, 1]),
            ("e", &[3, 14, 1, 1]),
        ],
        "def forward(self, x):
            a = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1])
            b = torch.conv2d(x, self.b.weight, self.b.bias, [1, 1], [1, 1])
            both = torch.relu(torch.cat([a, b], 1))
            c = torch.conv2d(both, self.c.weight, self.c.bias)
            front, back = torch.split(both, [4, 6], 1)
            d = torch.conv2d(back, self.d.weight, self.d.bias)
            last = torch.cat([torch.cat([c, d], 1), front[:, 1:3]], 1)
            return torch.conv2d(last, self.e.weight, self.e.bias)",
    );
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(
        groups,
        ["a:0 a.bias:0 c:1", "a:0 a.bias:0 c:1 e:1", "b:0 b.bias:0 c:1 d:1", "c:0 c.bias:0 e:1", "d:0 d.bias:0 e:1"]
    );
}

#[test]
fn a_mask_of_one_channel_and_a_convolution_of_one_channel() {
    let archive = layers(
        &[("mask", &[1, 3, 3, 3]), ("a", &[6, 3, 3, 3]), ("one", &[4, 1, 3, 3]), ("b", &[2, 10, 1, 1])],
        "def forward(self, x):
            mask = torch.conv2d(x, self.mask.weight, self.mask.bias, [1, 1], [1, 1])
            a = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]) * torch.sigmoid(mask)
            one = torch.conv2d(mask, self.one.weight, self.one.bias, [1, 1], [1, 1])
            return torch.conv2d(torch.cat([a, one], 1), self.b.weight, self.b.bias)",
    );
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["mask:0 mask.bias:0 one:1", "a:0 a.bias:0 b:1", "one:0 one.bias:0 b:1"]);
}

#[test]
fn a_depthwise_convolution_as_an_onnx_converter_writes_it() {
    let archive = layers(
        &[("a", &[6, 3, 1, 1]), ("dw", &[6, 1, 3, 3]), ("b", &[2, 6, 1, 1])],
        "def forward(self, x):
            x = torch._convolution(x, self.a.weight, self.a.bias, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False, True, True)
            x = torch._convolution(x, self.dw.weight, self.dw.bias, [1, 1], [1, 1], [1, 1], False, [0, 0], 6, False, False, True, True)
            return torch._convolution(x, self.b.weight, self.b.bias, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False, True, True)",
    );
    assert_eq!(prune(&archive, &[&[3, 6, 6]]), ["a:0 a.bias:0 dw:0 dw.bias:0 b:1"]);
}

#[test]
fn several_inputs_structured_outputs_and_parameters_that_nothing_reads() {
    let archive = with_layers(module(), &[("a", &[6, 4]), ("b", &[6, 5]), ("c", &[3, 6]), ("d", &[1, 6])])
        .parameter("unused", &[6, 6])
        .parameter("scale", &[6])
        .forward(
            "def forward(self, x, y):
                both = torch.linear(x, self.a.weight, self.a.bias) * self.scale + torch.linear(y, self.b.weight, self.b.bias)
                both = torch.relu(both)
                c = torch.linear(both, self.c.weight, self.c.bias)
                return {'classes': (c, [c.softmax(1)]), 'score': [torch.linear(both, self.d.weight, self.d.bias)]}",
        )
        .write();
    assert_eq!(
        prune(&archive, &[&[4], &[5]]),
        ["scale:0 a:0 a.bias:0 b:0 b.bias:0 c:1 d:1"],
        "a single-channel output stays, and so does what nothing reads"
    );
}

#[test]
fn transposed_convolutions_dense_grouped_and_depthwise() {
    let archive = with_layers(module(), &[("a", &[6, 3, 3, 3]), ("b", &[2, 6, 1, 1])])
        .parameter("up.weight", &[6, 4, 2, 2])
        .parameter("grouped.weight", &[4, 3, 2, 2])
        .parameter("grouped.bias", &[6])
        .parameter("dw.weight", &[6, 1, 3, 3])
        .forward(
            "def forward(self, x):
                x = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]))
                x = torch.relu(torch.conv_transpose2d(x, self.up.weight, None, [2, 2]))
                x = torch.relu(torch.conv_transpose2d(x, self.grouped.weight, self.grouped.bias, [2, 2], [0, 0], [0, 0], 2))
                x = torch.conv_transpose2d(x, self.dw.weight, None, [1, 1], [1, 1], [0, 0], 6)
                return torch.conv2d(torch.sigmoid(x), self.b.weight, self.b.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[3, 5, 5]]);
    assert_eq!(groups, ["a:0 a.bias:0 up:0", "b:1 grouped:1 grouped.bias:0 dw:0", "up:1 grouped:0"]);
}

#[test]
fn one_and_three_dimensional_networks() {
    let archive = with_layers(module(), &[("a", &[6, 2, 5]), ("b", &[8, 6, 3]), ("fc", &[3, 16])])
        .parameter("slope", &[6])
        .forward(
            "def forward(self, x):
                x = torch.prelu(torch.conv1d(x, self.a.weight, self.a.bias), self.slope)
                x = torch.instance_norm(torch.max_pool1d(x, [2]), None, None, None, None, True, 0.1, 1e-5, True)
                x = torch.conv1d(x, self.b.weight, self.b.bias, [1], [1])
                x = torch.adaptive_avg_pool1d(x, [2])
                return torch.linear(x.flatten(1), self.fc.weight, self.fc.bias)",
        )
        .write();
    assert_eq!(prune(&archive, &[&[2, 24]]), ["slope:0 a:0 a.bias:0 b:1", "b:0 b.bias:0 fc:1"]);

    let archive = layers(
        &[("a", &[6, 1, 3, 3, 3]), ("b", &[4, 6, 3, 3, 3]), ("fc", &[3, 4])],
        "def forward(self, x):
            x = torch.relu(torch.conv3d(x, self.a.weight, self.a.bias, [1, 1, 1], [1, 1, 1]))
            x = torch.conv3d(torch.max_pool3d(x, [2, 2, 2]), self.b.weight, self.b.bias)
            return torch.linear(x.mean([2, 3, 4]), self.fc.weight, self.fc.bias)",
    );
    assert_eq!(prune(&archive, &[&[1, 8, 8, 8]]), ["a:0 a.bias:0 b:1", "b:0 b.bias:0 fc:1"]);
}

#[test]
fn a_shortcut_that_pads_its_new_channels_with_zeros() {
    let archive = layers(
        &[("a", &[4, 3, 3, 3]), ("b", &[8, 4, 3, 3]), ("c", &[2, 8, 1, 1])],
        "def forward(self, x):
            x = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]))
            shortcut = torch.constant_pad_nd(x[:, :, ::2, ::2], [0, 0, 0, 0, 2, 2], 0)
            x = torch.conv2d(x, self.b.weight, self.b.bias, [2, 2], [1, 1]) + shortcut
            return torch.conv2d(torch.relu(x), self.c.weight, self.c.bias)",
    );
    assert_eq!(prune(&archive, &[&[3, 8, 8]]), ["a:0 a.bias:0 b:0 b:1 b.bias:0 c:1", "b:0 b.bias:0 c:1"]);
}

#[test]
fn shuffles_of_channels_and_pixels() {
    let archive = layers(
        &[("a", &[12, 3, 3, 3]), ("b", &[8, 12, 1, 1]), ("c", &[2, 20, 1, 1])],
        "def forward(self, x):
            x = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]))
            n, c, h, w = x.shape
            shuffled = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
            b = torch.pixel_shuffle(torch.conv2d(shuffled, self.b.weight, self.b.bias), 2)
            small = torch.pixel_unshuffle(b, 2)
            left, right = torch.chunk(x, 2, 1)
            joined = torch.cat([small, left * right, torch.upsample_nearest2d(left, [6, 6])], 1)
            return torch.conv2d(joined, self.c.weight, self.c.bias)",
    );
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["a:0 a.bias:0 b:1 c:1", "b:0 b.bias:0 c:1"]);
}

#[test]
fn tokens_with_a_class_token_positions_layer_scale_and_norms() {
    let archive =
        with_layers(module(), &[("patch", &[8, 3, 2, 2]), ("up", &[12, 8]), ("down", &[8, 12]), ("head", &[3, 8])])
            .parameter("token", &[1, 1, 8])
            .parameter("position", &[1, 10, 8])
            .parameter("gamma", &[8])
            .parameter("norm.weight", &[8])
            .parameter("norm.bias", &[8])
            .forward(
                "def forward(self, x):
                x = torch.conv2d(x, self.patch.weight, self.patch.bias, [2, 2]).flatten(2).transpose(1, 2)
                x = torch.cat([self.token.expand(x.size(0), -1, -1), x], 1) + self.position
                y = torch.layer_norm(x, [8], self.norm.weight, self.norm.bias, 1e-6)
                y = torch.gelu(torch.linear(y, self.up.weight, self.up.bias), approximate='tanh')
                x = x + torch.linear(y, self.down.weight, self.down.bias) * self.gamma
                x = torch.rms_norm(x, [8], None, 1e-6)
                return torch.linear(x[:, 0], self.head.weight, self.head.bias)",
            )
            .write();
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(
        groups,
        [
            "token:2 position:2 gamma:0 patch:0 patch.bias:0 up:1 down:0 down.bias:0 head:1 norm:0 norm.bias:0",
            "up:0 up.bias:0 down:1"
        ]
    );
}

#[test]
fn group_norms_of_many_and_of_few_groups() {
    let archive = with_layers(module(), &[("a", &[8, 3, 3, 3]), ("b", &[12, 8, 3, 3]), ("c", &[2, 12, 1, 1])])
        .parameter("many.weight", &[8])
        .parameter("many.bias", &[8])
        .parameter("few.weight", &[12])
        .forward(
            "def forward(self, x):
                x = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1])
                x = torch.relu(torch.group_norm(x, 4, self.many.weight, self.many.bias))
                x = torch.conv2d(x, self.b.weight, self.b.bias, [1, 1], [1, 1])
                x = torch.relu(torch.group_norm(x, 2, self.few.weight, None))
                return torch.conv2d(x, self.c.weight, self.c.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["a:0 a.bias:0 b:1 many:0 many.bias:0", "b:0 b.bias:0 c:1 few:0"]);
}

#[test]
fn standardised_weights_with_and_without_a_gain() {
    // As timm writes them; the second layer's columns are cut, and with them what its statistics go over.
    let archive = with_layers(
        module(),
        &[("a", &[6, 3, 3, 3]), ("b", &[8, 6, 3, 3]), ("grouped", &[8, 2, 3, 3]), ("c", &[2, 8, 1, 1])],
    )
    .parameter("gain", &[8, 1, 1, 1])
    .forward(
        "def forward(self, x):
            a = torch.batch_norm(self.a.weight.reshape([1, 6, -1]), None, None, None, None, True, 0., 1e-6, False)
            x = torch.relu(torch.conv2d(x, a.reshape_as(self.a.weight), self.a.bias, [1, 1], [1, 1]))
            gain = (self.gain * 0.5).view([-1])
            b = torch.batch_norm(self.b.weight.reshape([1, 8, -1]), gain, None, None, None, True, 0., 1e-6, False)
            x = torch.relu(torch.conv2d(x, b.reshape_as(self.b.weight), self.b.bias, [1, 1], [1, 1]))
            g = torch.batch_norm(self.grouped.weight.reshape([1, 8, -1]), None, None, None, None, True, 0., 1e-6, False)
            x = torch.relu(torch.conv2d(x, g.reshape_as(self.grouped.weight), self.grouped.bias, [1, 1], [1, 1], [1, 1], 4))
            return torch.conv2d(torch.tanh(x), self.c.weight, self.c.bias)",
    )
    .write();
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(
        groups,
        ["gain:0 b:0 b.bias:0 grouped:1", "a:0 a.bias:0 b:1", "grouped:0 grouped.bias:0 c:1"],
        "columns, with what is averaged over them"
    );
}

#[test]
fn a_weight_that_is_mixed_of_several_is_cut_in_all_of_them() {
    let archive = with_layers(module(), &[("a", &[6, 3, 3, 3]), ("c", &[2, 8, 1, 1])])
        .parameter("one", &[8, 6, 3, 3])
        .parameter("other", &[8, 6, 3, 3])
        .forward(
            "def forward(self, x):
                x = torch.relu(torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1]))
                mixed = torch.sigmoid(self.one) + self.other
                x = torch.relu(torch.conv2d(x, mixed, None, [1, 1], [1, 1]))
                return torch.conv2d(x, self.c.weight, self.c.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["one:0 other:0 c:1", "one:1 other:1 a:0 a.bias:0"]);
}

#[test]
fn sizes_that_are_written_into_expansions_follow_the_channels() {
    let archive = layers(
        &[("a", &[6, 3, 3, 3]), ("gate", &[6, 6]), ("b", &[2, 12, 1, 1])],
        "def forward(self, x):
            x = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1])
            gate = torch.sigmoid(torch.linear(x.mean([2, 3]), self.gate.weight, self.gate.bias))
            x = x * gate.unsqueeze(-1).unsqueeze(-1).expand(x.size(0), 6, x.size(2), x.size(3))
            y = x + torch.ones([1, 6, 1, 1], dtype=6) * x.mean([2, 3], True).expand_as(x)
            return torch.conv2d(torch.cat([x.repeat([1, 1, 1, 1]), y], 1), self.b.weight, self.b.bias)",
    );
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["a:0 a.bias:0 gate:0 gate:1 gate.bias:0 b:1"]);
}

#[test]
fn a_squeeze_after_a_cut_to_one_channel_drops_what_it_dropped_before() {
    let archive = layers(
        &[("a", &[6, 3, 3, 3]), ("b", &[6, 6]), ("c", &[4, 6])],
        "def forward(self, x):
            x = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1])
            x = torch.relu(torch.linear(x.mean([2, 3], True).squeeze(), self.b.weight, self.b.bias))
            return torch.linear(x.unsqueeze(-1).squeeze(-1), self.c.weight, self.c.bias)",
    );
    let groups = prune(&archive, &[&[3, 6, 6]]);
    assert_eq!(groups, ["a:0 a.bias:0 b:1", "b:0 b.bias:0 c:1"]);
}

#[test]
fn words_are_embedded_and_the_weights_of_the_embedding_are_tied() {
    let weight = random(&[11, 6]);
    let archive = module()
        .tensor("embed.weight", ParameterKind::Parameter, &weight)
        .tensor("head.weight", ParameterKind::Parameter, &weight)
        .parameter("inner.weight", &[6, 6])
        .tensor("numbers", ParameterKind::Buffer, &Tensor::arange(4, (Kind::Int64, Device::Cpu)))
        .forward(
            "def forward(self, x):
                words = torch.embedding(self.embed.weight, self.numbers)
                x = torch.tanh(torch.linear(x + words, self.inner.weight) + words)
                return torch.linear(x, self.head.weight)",
        )
        .write();
    assert!(prune(&archive, &[&[4, 6]]).is_empty(), "the words meet the input");

    let archive = module()
        .tensor("embed.weight", ParameterKind::Parameter, &weight)
        .tensor("head.weight", ParameterKind::Parameter, &weight)
        .parameter("inner.weight", &[6, 5])
        .tensor("numbers", ParameterKind::Buffer, &Tensor::arange(4, (Kind::Int64, Device::Cpu)))
        .forward(
            "def forward(self, x):
                words = torch.embedding(self.embed.weight, self.numbers)
                x = torch.tanh(torch.linear(x, self.inner.weight) + words)
                return torch.linear(x, self.head.weight)",
        )
        .write();
    assert_eq!(prune(&archive, &[&[4, 5]]), ["embed:1 inner:0"]);
}

/// Correlation of two images' features, one channel with one (trackers): as many groups as the batch has channels.
#[test]
fn a_convolution_whose_groups_are_the_batch_stays_while_what_lies_before_is_cut() {
    let archive = layers(
        &[("a", &[6, 3, 3, 3]), ("b", &[4, 6, 1, 1]), ("c", &[2, 4, 1, 1])],
        "def forward(self, x, y):
            x = torch.conv2d(torch.conv2d(x, self.a.weight, self.a.bias), self.b.weight, self.b.bias)
            y = torch.conv2d(torch.conv2d(y, self.a.weight, self.a.bias), self.b.weight, self.b.bias)
            count = x.size(0) * x.size(1)
            kernel = x.view(count, 1, x.size(2), x.size(3))
            found = torch.conv2d(y.view(1, count, y.size(2), y.size(3)), kernel, None, [1, 1], [0, 0], [1, 1], count)
            found = found.view(x.size(0), x.size(1), found.size(2), found.size(3))
            return torch.conv2d(found, self.c.weight, self.c.bias)",
    );
    assert_eq!(prune(&archive, &[&[3, 5, 5], &[3, 9, 9]]), ["a:0 a.bias:0 b:1"]);
}

#[test]
fn operators_without_a_rule_say_so_in_words() {
    let reason = |forward: &str| {
        let graph: Graph = layers(&[("a", &[6, 3, 3, 3]), ("b", &[2, 6, 1, 1])], forward).import(&[&[3, 6, 6]]).graph;
        let grouping = Grouping::of(&graph);
        assert!(grouping.groups().is_empty());
        let causes = grouping.frozen().iter().map(|frozen| grouping.axes().cause(frozen.reason).to_string());
        causes.collect::<Vec<_>>().join("\n")
    };
    for (middle, words) in [
        ("x.cumsum(1)", "node `cumsum_1` (aten::cumsum) needs the order of its channels"),
        ("x * torch.prod(x, 1, True)", "node `prod_1` (aten::prod) reduces over its channels"),
        ("x.tril()", "the operator aten::tril has no channel rule"),
        (
            "x.index_select(1, torch.arange(6))",
            "node `index_select_1` (aten::index_select) chooses its channels by number",
        ),
    ] {
        let forward = format!(
            "def forward(self, x):
                x = torch.conv2d(x, self.a.weight, self.a.bias, [1, 1], [1, 1])
                return torch.conv2d({middle}, self.b.weight, self.b.bias)"
        );
        let found = reason(&forward);
        assert!(found.contains(words), "{middle}: {found}");
    }
}
