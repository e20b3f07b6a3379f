//! Attention in the spellings that models come with, from TorchScript source to a proved cut: heads, head dimensions and hidden
//! widths are cut, and the result is held against the oracle and reloaded.

use crate::fixture::module;
use crate::surgery::{prune, with_layers};

/// Tokens of a small image with a class token and position embeddings, as ViT makes them.
const EMBED: &str = "
            x = torch.conv2d(x, self.patch.weight, self.patch.bias, [4, 4]).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.size(0), -1, -1), x], 1) + self.position";

#[test]
fn a_vision_transformer_with_packed_projections() {
    let archive = with_layers(
        module(),
        &[
            ("patch", &[12, 3, 4, 4]),
            ("qkv", &[72, 12]),
            ("proj", &[12, 24]),
            ("up", &[20, 12]),
            ("down", &[12, 20]),
            ("head", &[5, 12]),
        ],
    )
    .parameter("token", &[1, 1, 12])
    .parameter("position", &[1, 5, 12])
    .forward(&format!(
        "def forward(self, x):{EMBED}
            b, n, c = x.size(0), x.size(1), x.size(2)
            qkv = torch.linear(x, self.qkv.weight, self.qkv.bias).reshape([b, n, 3, 4, 6]).permute([2, 0, 3, 1, 4])
            q, k, v = qkv.unbind(0)
            mixed = torch.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape([b, n, 24])
            x = x + torch.linear(mixed, self.proj.weight, self.proj.bias)
            x = x + torch.linear(torch.gelu(torch.linear(x, self.up.weight, self.up.bias)), self.down.weight, self.down.bias)
            return torch.linear(x[:, 0], self.head.weight, self.head.bias)"
    ))
    .write();
    let groups = prune(&archive, &[&[3, 8, 8]]);
    let packed = "qkv:0 qkv.bias:0 proj:1";
    assert_eq!(groups.iter().filter(|group| *group == packed).count(), 2, "heads, and head dimensions: {groups:?}");
    assert!(groups.iter().any(|group| group == "up:0 up.bias:0 down:1"), "{groups:?}");
    assert!(groups.iter().any(|group| group.starts_with("token:2 position:2")), "the stream: {groups:?}");
}

#[test]
fn attention_that_merges_the_heads_with_the_batch() {
    let archive = with_layers(module(), &[("joint", &[72, 12]), ("out", &[12, 24]), ("head", &[5, 12])])
        .forward(
            "def forward(self, x):
            x = x.transpose(0, 1)
            n, b = x.size(0), x.size(1)
            joined = torch.linear(x, self.joint.weight, self.joint.bias)
            joined = joined.unflatten(-1, [3, 24]).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()
            q = joined[0].view([n, b * 4, 6]).transpose(0, 1)
            k = joined[1].view([n, b * 4, 6]).transpose(0, 1)
            v = joined[2].view([n, b * 4, 6]).transpose(0, 1)
            scores = torch.softmax(torch.bmm(q * 0.25, k.transpose(1, 2)), -1)
            mixed = torch.bmm(scores, v).view([b, 4, n, 6]).permute([2, 0, 1, 3]).contiguous().view([n * b, 24])
            x = torch.linear(mixed, self.out.weight, self.out.bias).view([n, b, 12])
            return torch.linear(torch.tanh(x[0]), self.head.weight, self.head.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[5, 12]]);
    let packed = "joint:0 joint.bias:0 out:1";
    assert_eq!(groups.iter().filter(|group| *group == packed).count(), 2, "{groups:?}");
}

#[test]
fn windows_with_a_relative_position_bias_and_a_bias_that_is_zeroed_for_the_keys() {
    let archive = with_layers(module(), &[("qkv", &[48, 8]), ("proj", &[8, 16]), ("head", &[5, 8])])
        .parameter("table", &[9, 4])
        .forward(
            "def forward(self, x):
            b = x.size(0)
            x = torch.roll(x, [-1, -1], [1, 2])
            x = x.view([b, 2, 2, 2, 2, 8]).permute([0, 1, 3, 2, 4, 5]).reshape([b * 4, 4, 8])
            bias = self.qkv.bias.clone()
            bias[16:32].zero_()
            qkv = torch.linear(x, self.qkv.weight, bias).reshape([b * 4, 4, 3, 4, 4]).permute([2, 0, 3, 1, 4])
            q, k, v = qkv[0] * 0.5, qkv[1], qkv[2]
            index = torch.arange(16) % 9
            relative = self.table[index].view([4, 4, 4]).permute([2, 0, 1]).contiguous().unsqueeze(0)
            scores = torch.softmax(q.matmul(k.transpose(-2, -1)) + relative, -1)
            mixed = scores.matmul(v).transpose(1, 2).reshape([b * 4, 4, 16])
            x = torch.linear(mixed, self.proj.weight, self.proj.bias).view([b, 16, 8])
            return torch.linear(x.mean(1), self.head.weight, self.head.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[4, 4, 8]]);
    assert!(groups.iter().any(|group| group == "table:1 qkv:0 qkv.bias:0 proj:1"), "heads own a column: {groups:?}");
    assert!(groups.iter().any(|group| group == "qkv:0 qkv.bias:0 proj:1"), "head dimensions: {groups:?}");
}

#[test]
fn an_einsum_over_chunks_and_a_fused_attention() {
    let archive = with_layers(module(), &[("qkv", &[48, 8]), ("proj", &[8, 16]), ("joint", &[24, 8]), ("out", &[8, 8]), ("head", &[5, 8])])
        .forward(
            "def forward(self, x):
            b, n = x.size(0), x.size(1)
            q, k, v = torch.linear(x, self.qkv.weight, self.qkv.bias).chunk(3, -1)
            q = q.reshape([b, n, 4, 4]).permute([0, 2, 1, 3])
            k = k.reshape([b, n, 4, 4]).permute([0, 2, 1, 3])
            v = v.reshape([b, n, 4, 4]).permute([0, 2, 1, 3])
            scores = torch.softmax(torch.einsum(\"bhid,bhjd->bhij\", [q, k]), -1)
            mixed = torch.einsum(\"bhij,bhjd->bhid\", [scores, v]).permute([0, 2, 1, 3]).reshape([b, n, 16])
            x = torch.linear(mixed, self.proj.weight, self.proj.bias)
            x, _ = torch._native_multi_head_attention(x, x, x, 8, 2, self.joint.weight, self.joint.bias, self.out.weight, self.out.bias, None, False)
            return torch.linear(x.mean(1), self.head.weight, self.head.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[5, 8]]);
    assert_eq!(groups.iter().filter(|group| *group == "qkv:0 qkv.bias:0").count(), 1, "q.d is k.d: {groups:?}");
    assert_eq!(groups.iter().filter(|group| *group == "qkv:0 qkv.bias:0 proj:1").count(), 2, "{groups:?}");
    assert_eq!(groups.iter().filter(|group| *group == "joint:0 joint.bias:0 out:1").count(), 2, "{groups:?}");
}

#[test]
fn an_einsum_of_three_factors() {
    let archive = with_layers(module(), &[("k", &[24, 8]), ("q", &[24, 8]), ("head", &[5, 8])])
        .parameter("mix", &[4, 6, 8])
        .forward(
            "def forward(self, x):
            b, n = x.size(0), x.size(1)
            k = torch.linear(x, self.k.weight, self.k.bias).view([b, n, 4, 6])
            q = torch.linear(x, self.q.weight, self.q.bias).view([b, n, 4, 6])
            scores = torch.softmax(torch.einsum('bihd,bjhd->bhij', [q, k]), -1)
            x = torch.einsum('bhij,bjhd,hdo->bio', [scores, k, self.mix])
            return torch.linear(x.mean(1), self.head.weight, self.head.bias)",
        )
        .write();
    let groups = prune(&archive, &[&[5, 8]]);
    assert_eq!(groups, ["mix:0 k:0 k.bias:0 q:0 q.bias:0", "mix:1 k:0 k.bias:0 q:0 q.bias:0", "mix:2 head:1"]);
}

#[test]
fn heads_stay_where_the_scores_of_each_come_out_and_head_dimensions_do_not() {
    // As nn.MultiheadAttention computes with need_weights=True: by bmm, the heads merged with the batch.
    // Queries, keys and values come out of one projection, so that their head dimensions are one group. A mean over the heads is
    // one of what remains of them.
    let cases = [("x", 2), ("(x, scores.view([b, 4, n, n]))", 1), ("(x, scores.view([b, 4, n, n]).mean(1))", 2)];
    for (returned, expected) in cases {
        let archive = with_layers(module(), &[("joint", &[72, 12]), ("out", &[12, 24]), ("head", &[5, 12])])
            .forward(&format!(
                "def forward(self, x):
                x = x.transpose(0, 1)
                n, b = x.size(0), x.size(1)
                joined = torch.linear(x, self.joint.weight, self.joint.bias) * 0.2
                joined = joined.unflatten(-1, [3, 24]).unsqueeze(0).transpose(0, -2).squeeze(-2).contiguous()
                q = joined[0].view([n, b * 4, 6]).transpose(0, 1)
                k = joined[1].view([n, b * 4, 6]).transpose(0, 1)
                v = joined[2].view([n, b * 4, 6]).transpose(0, 1)
                scores = torch.softmax(torch.bmm(q * 0.4, k.transpose(-2, -1)), -1)
                mixed = torch.bmm(scores, v).transpose(0, 1).contiguous().view([n * b, 24])
                x = torch.linear(mixed, self.out.weight, self.out.bias).view([n, b, 12]).transpose(0, 1)
                x = torch.linear(torch.tanh(x), self.head.weight * 0.2, self.head.bias)
                return {returned}"
            ))
            .write();
        let groups = prune(&archive, &[&[5, 12]]);
        let packed = groups.iter().filter(|group| *group == "joint:0 joint.bias:0 out:1").count();
        assert_eq!(packed, expected, "{returned}: {groups:?}");
    }
}
