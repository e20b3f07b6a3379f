//! Export: the file computes the same, keeps names and structure, and imports again to the same graph.

use crate::fixture::{Archive, example, largest_difference, module, random};
use secateur_core::graph::ParameterKind;
use secateur_engine::torch::{self, Imported, Mode, Program, Reloaded};
use tch::{Device, Tensor};

/// Exports what was imported and holds the file against the graph, at two batch sizes and by importing it again.
fn round_trip(imported: &Imported) {
    let Imported { graph, weights, input_shapes, .. } = imported;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pruned.pt");
    torch::export(graph, weights, &path, &[("report.json", "{}")]).unwrap();

    let _no_grad = tch::no_grad_guard();
    let program = Program::prepare(graph).unwrap();
    let reloaded = Reloaded::open(&path, Device::Cpu).unwrap();
    for batch in [1, 6] {
        let inputs: Vec<Tensor> = input_shapes.iter().map(|shape| random(&[&[batch], &shape[..]].concat())).collect();
        let expected = program.run(weights, &inputs, Mode::Evaluate).unwrap();
        let actual = reloaded.forward(&inputs).unwrap();
        assert_eq!(actual.len(), expected.len());
        for (actual, expected) in actual.iter().zip(&expected) {
            assert!(largest_difference(actual, expected) <= 1e-5);
        }
    }

    let again = torch::import(&path, Some(input_shapes)).unwrap();
    assert_eq!(again.graph.parameters(), graph.parameters());
    assert_eq!(again.graph.output(), graph.output());
    assert_eq!(again.graph.nodes(), graph.nodes());
}

fn round_trip_of(archive: &Archive, shapes: &[&[i64]]) {
    round_trip(&archive.import(shapes));
}

#[test]
fn the_example_networks_come_back_unchanged() {
    round_trip(&torch::import(&example("resnet20-digits.pt"), None).unwrap());
    round_trip(&torch::import(&example("vgg-digits.pt"), Some(&[vec![1, 8, 8]])).unwrap());
}

#[test]
fn structured_outputs_lists_and_several_inputs_are_printed() {
    let archive = module()
        .parameter("a b.weight", &[4, 4])
        .forward(
            "def forward(self, x, y):
                weight = getattr(self, 'a b').weight
                a, b = torch.split(torch.linear(x, weight), [1, 3], 1)
                values, indices = torch.max(b, 1, True)
                return {'first': (a, [b]), 'second': values + y, 'third': (x,)}",
        )
        .write();
    round_trip_of(&archive, &[&[4], &[4]]);
}

#[test]
fn sizes_follow_the_batch() {
    let archive = module()
        .parameter("fc.weight", &[6, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, self.fc.weight).view(x.size(0) * 3, 2)
                z = y.new_zeros([x.size(0) + 1, 2])
                y = torch.cat([y, z], 0) + torch.arange(2) * torch.tensor(x.size(0))
                return y[: 3 * x.size(0)].view(x.size(0), -1)",
        )
        .write();
    round_trip_of(&archive, &[&[4]]);
}

#[test]
fn literals_of_every_kind_are_printed() {
    let archive = module()
        .parameter("conv.weight", &[4, 3, 1, 1])
        .tensor("index", ParameterKind::Buffer, &Tensor::from_slice(&[2i64, 0]))
        .forward(
            "def forward(self, x):
                y = torch.conv2d(x, self.conv.weight, None, [1, 1], 'same', [1, 1], 1)
                y = y.masked_fill(y > 1e30, float('-inf')).to(6)
                y = torch.upsample_nearest2d(y, None, [2.0, 2.0])
                y = torch.div(y, 3, rounding_mode='floor')[:, self.index]
                y = torch.einsum('bchw,bchw->bch', [y, y])
                return torch.sum(y, [1], False, dtype=6)",
        )
        .write();
    round_trip_of(&archive, &[&[3, 4, 4]]);
}

#[test]
fn tied_weights_and_plain_attributes_are_kept() {
    let weight = random(&[4, 4]);
    let archive = module()
        .tensor("encoder.weight", ParameterKind::Parameter, &weight)
        .tensor("decoder.weight", ParameterKind::Parameter, &weight)
        .tensor("position", ParameterKind::Constant, &random(&[4]))
        .buffer("scale", &[4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x + self.position, self.encoder.weight)
                return torch.linear(y * self.scale, self.decoder.weight)",
        )
        .write();
    round_trip_of(&archive, &[&[4]]);
}

#[test]
fn names_that_python_reserves_do_not_clash() {
    let archive = module()
        .parameter("lambda.weight", &[4, 4])
        .parameter("batch.weight", &[4, 4])
        .parameter("x.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                y = torch.linear(x, getattr(self, 'lambda').weight)
                return torch.linear(torch.linear(y, self.batch.weight), self.x.weight)",
        )
        .write();
    round_trip_of(&archive, &[&[4]]);
}
