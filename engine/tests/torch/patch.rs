//! The export that keeps the user's program: what the new file says, and what it computes where a recording could not.

use std::path::{Path, PathBuf};
use std::process::Command;

use secateur_core::archive::patch::Program;
use secateur_core::configuration::Configuration;
use secateur_core::graph::{DType, Graph};
use secateur_core::group::Grouping;
use secateur_core::spec::InputSpec;
use secateur_core::surgery::{self, Cut};
use secateur_engine::network::{Network, cut};
use secateur_engine::proof::program::untried_branches;
use secateur_engine::torch::{self, Imported, Reloaded};
use tch::{Device, Tensor};

use crate::fixture::{example, fixture, largest_difference, module, random};

const IMAGE: &[i64] = &[3, 16, 16];

/// Keeps about two thirds of each group, of every group another number.
fn cut_of(graph: &Graph) -> Cut {
    let grouping = Grouping::of(graph);
    let keep = grouping.groups().iter().enumerate().map(|(number, group)| {
        let channels = group.channels() as u32;
        let width = (channels * 2 / 3 - number as u32 % 3).max(1);
        (channels - width..channels).collect()
    });
    surgery::cut(graph, &grouping, &Configuration { keep: keep.collect() }).unwrap()
}

fn open(path: &Path) -> Reloaded {
    Reloaded::open(path, Device::Cpu).unwrap()
}

fn assert_same(actual: &[Tensor], expected: &[Tensor]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert_eq!((actual.size(), actual.kind()), (expected.size(), expected.kind()));
        assert!(largest_difference(actual, expected) <= 1e-5);
    }
}

#[test]
fn methods_attributes_files_and_sizes_stay_what_they_were() {
    let model = fixture("families/interface.pt");
    let Imported { graph, weights, .. } = torch::import(&model, Some(&[IMAGE.to_vec()])).unwrap();
    let cut = cut_of(&graph);
    let folder = tempfile::tempdir().unwrap();
    let [pruned, zeroed] = ["pruned.pt", "zeroed.pt"].map(|name| folder.path().join(name));
    let smaller = cut::apply(&graph, &cut, &weights).unwrap();
    let edits = torch::patch(&model, &graph, (&cut.graph, &smaller), &pruned, &[("secateur.json", "{}")]).unwrap();
    let without = cut::with_zeroed_columns(&graph, &cut.zeroed, &weights).unwrap();
    assert_eq!(torch::patch(&model, &graph, (&graph, &without), &zeroed, &[]).unwrap(), []);

    let (old, new) = (Program::open(&model).unwrap(), Program::open(&pruned).unwrap());
    assert_eq!(
        (old.extra_files(), new.extra_files()),
        (vec!["stride.txt".to_owned()], { vec!["stride.txt".to_owned(), "secateur.json".to_owned()] })
    );
    let root = "code/__torch__.py";
    let class = |program: &Program| program.sources()[root].split("  stem :").next().unwrap().to_owned();
    assert_eq!(class(&old), class(&new), "methods come after the attributes, which are the same");
    for wanted in ["aten::conv2d", "aten::reshape"] {
        assert!(edits.iter().any(|edit| edit.operator == wanted), "{wanted}: {edits:?}");
    }
    assert!(new.sources().len() > old.sources().len(), "blocks that shared a class have one each");

    let (pruned, zeroed) = (open(&pruned), open(&zeroed));
    for [batch, height, width] in [[1, 16, 16], [3, 16, 16], [2, 24, 40], [1, 34, 18]] {
        let image = [random(&[batch, 3, height, width])];
        let outputs = pruned.forward(&image).unwrap();
        assert_eq!(outputs[0].size(), [batch, 4, height, width]);
        assert_same(&outputs, &zeroed.forward(&image).unwrap());
        let with_scale = [image[0].shallow_clone(), random(&[1])];
        assert_same(&pruned.forward(&with_scale).unwrap(), &zeroed.forward(&with_scale).unwrap());
        // What one method gives the other takes.
        let [features, expected] = [&pruned, &zeroed].map(|model| model.call("encode", &image).unwrap());
        let [maps, expected] =
            [(&pruned, features), (&zeroed, expected)].map(|(model, z)| model.call("decode", &z).unwrap());
        assert_same(&maps, &expected);
    }
}

#[test]
fn where_nothing_is_cut_every_record_is_the_original_one() {
    let families = std::fs::read_dir(fixture("families")).unwrap().map(|entry| entry.unwrap().path());
    let models = families.filter(|path| path.extension().is_some_and(|extension| extension == "pt"));
    let shape = |path: &Path| match path.file_stem().unwrap().to_str().unwrap() {
        "words" => vec![7],
        "streaming" => vec![64],
        "fused" => vec![6, 10],
        "clip" => vec![3, 4, 8, 8],
        "sequence" => vec![4, 20],
        "resnet20-digits" | "vgg-digits" => vec![1, 8, 8],
        _ => IMAGE.to_vec(),
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.pt");
    for model in models.chain(["resnet20-digits.pt", "vgg-digits.pt"].map(example)) {
        let dtype = model.ends_with("words.pt").then_some(DType::Int64);
        let mut inputs = vec![InputSpec { dtype, ..InputSpec::from(shape(&model)) }];
        if model.ends_with("streaming.pt") {
            inputs.push(number(16000));
        }
        if model.ends_with("towers.pt") {
            inputs.push(ids());
        }
        let Imported { graph, weights, .. } = torch::import_with(&model, Some(&inputs)).unwrap();
        let edits = torch::patch(&model, &graph, (&graph, &weights), &copy, &[]);
        assert_eq!(edits.as_deref(), Ok(&[][..]), "{}", model.display());
        assert_eq!(records(&copy), records(&model), "{}", model.display());
        secateur_core::archive::preflight(&copy).unwrap();
    }
}

/// Name, size and CRC-32 of every record, from the zip directory.
fn records(path: &Path) -> Vec<(String, u32, u32)> {
    let bytes = std::fs::read(path).unwrap();
    let field = |at: usize, width: usize| {
        bytes[at..at + width].iter().rev().fold(0_u32, |number, &byte| number << 8 | u32::from(byte))
    };
    let end = bytes.len() - 22;
    let (entries, mut at) = (field(end + 10, 2), field(end + 16, 4) as usize);
    let mut records = Vec::new();
    for _ in 0..entries {
        let (name, extra, comment) =
            (field(at + 28, 2) as usize, field(at + 30, 2) as usize, field(at + 32, 2) as usize);
        let text = String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).unwrap();
        records.push((text, field(at + 24, 4), field(at + 16, 4)));
        at += 46 + name + extra + comment;
    }
    records
}

#[test]
fn a_program_that_cannot_be_patched_says_why() {
    let model = fixture("families/interface.pt");
    let Imported { graph, weights, .. } = torch::import(&model, Some(&[IMAGE.to_vec()])).unwrap();
    let cut = cut_of(&graph);
    // The weights of another network: what the program computes is not what the graph says.
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("pruned.pt");
    let error = torch::patch(&model, &graph, (&cut.graph, &weights), &target, &[]).unwrap_err();
    assert!(error.to_string().contains("the program fails"), "{error}");
    let lost = torch::lost_by_recording(&model, &graph).unwrap().join(" ");
    for named in ["[3, 16, 16]", "`decode`, `encode`", "`classes`", "`scale`", "`stride.txt`", "`Scores`"] {
        assert!(lost.contains(named), "{named}: {lost}");
    }
}

fn number(value: i64) -> InputSpec {
    InputSpec { value: Some(value.into()), ..InputSpec::from(Vec::new()) }
}

fn ids() -> InputSpec {
    InputSpec { dtype: Some(DType::Int64), ..InputSpec::from(vec![7]) }
}

/// A cut program and the original without the removed columns, written into a folder.
struct Pair {
    pruned: PathBuf,
    zeroed: PathBuf,
    folder: tempfile::TempDir,
    graph: Graph,
    cut: Cut,
}

fn pair(model: &Path, inputs: &[InputSpec]) -> Pair {
    let Imported { graph, weights, .. } = torch::import_with(model, Some(inputs)).unwrap();
    let cut = cut_of(&graph);
    let folder = tempfile::tempdir().unwrap();
    let [pruned, zeroed] = ["pruned.pt", "zeroed.pt"].map(|name| folder.path().join(name));
    let smaller = cut::apply(&graph, &cut, &weights).unwrap();
    torch::patch(model, &graph, (&cut.graph, &smaller), &pruned, &[]).unwrap();
    let without = cut::with_zeroed_columns(&graph, &cut.zeroed, &weights).unwrap();
    torch::patch(model, &graph, (&graph, &without), &zeroed, &[]).unwrap();
    Pair { pruned, zeroed, folder, graph, cut }
}

#[test]
fn what_a_stream_left_behind_is_what_the_next_piece_finds() {
    let Pair { pruned, zeroed, graph, cut, folder: _folder } =
        pair(&fixture("families/streaming.pt"), &[vec![64].into(), number(16000)]);
    assert!(cut.kept.0.contains_key("first.weight") && !cut.kept.0.contains_key("cell.weight_hh"), "{:?}", cut.kept);
    let numbers = &graph.file().numbers;
    let [pruned, zeroed] = [pruned, zeroed].map(|file| open(&file).with_numbers(numbers));
    // A stream of other length and batch begins anew by itself.
    for (batch, length) in [(2, 64), (2, 64), (2, 96), (5, 64)] {
        let piece = [random(&[batch, length])];
        assert_same(&pruned.forward(&piece).unwrap(), &zeroed.forward(&piece).unwrap());
    }
    let recording = [random(&[1, 700])];
    let heard = pruned.call("hear", &recording).unwrap();
    assert_eq!(heard[0].size(), [1, 10]);
    assert_same(&heard, &zeroed.call("hear", &recording).unwrap());
}

#[test]
fn a_method_returns_what_it_returned() {
    let Pair { pruned, zeroed, graph, cut, folder: _folder } =
        pair(&fixture("families/towers.pt"), &[IMAGE.to_vec().into(), ids()]);
    let methods: Vec<&str> = graph.file().methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(methods, ["encode_image", "encode_text", "image_features"]);
    assert!(!cut.kept.0.contains_key("image.1.0.bias"), "`image_features` returns these channels");
    assert!(cut.kept.0.contains_key("image.0.0.weight"), "nothing returns those");
    let [pruned, zeroed] = [pruned, zeroed].map(|file| open(&file));
    let (image, ids) = (random(&[3, 3, 24, 20]), Tensor::randint(30, [3, 11], (tch::Kind::Int64, Device::Cpu)));
    let both = [image.shallow_clone(), ids.shallow_clone()];
    assert_same(&pruned.forward(&both).unwrap(), &zeroed.forward(&both).unwrap());
    for (method, given) in [("image_features", &image), ("encode_image", &image), ("encode_text", &ids)] {
        let given = [given.shallow_clone()];
        assert_same(&pruned.call(method, &given).unwrap(), &zeroed.call(method, &given).unwrap());
    }
}

/// Reloaded programs run without gradients, where these layers would take their fused path.
#[test]
fn layers_that_are_fused_without_gradients_are_not_once_they_are_cut() {
    let model = fixture("families/fused.pt");
    let Imported { graph, weights, .. } = torch::import(&model, Some(&[vec![6, 10]])).unwrap();
    let cut = cut_of(&graph);
    assert!(cut.kept.0.contains_key("attention.in_proj_weight"), "{:?}", cut.kept);
    let smaller = cut::apply(&graph, &cut, &weights).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pruned.pt");
    let edits = torch::patch(&model, &graph, (&cut.graph, &smaller), &file, &[]).unwrap();
    let fused = edits.iter().filter(|edit| edit.operator == "aten::is_grad_enabled");
    let mut modules: Vec<&str> = fused.map(|edit| edit.module.as_str()).collect();
    modules.sort_unstable();
    modules.dedup();
    assert_eq!(modules, ["attention", "encoder", "encoder.self_attn"]);
    let network = Network::new(cut.graph, smaller).unwrap();
    let inputs = [random(&[3, 9, 10])];
    let reloaded = open(&file).forward(&inputs).unwrap();
    assert_eq!(reloaded[0].size(), [3, 5]);
    let inputs = [random(&[3, 6, 10])];
    assert_same(&open(&file).forward(&inputs).unwrap(), &network.evaluate(&inputs).unwrap());
}

/// Compiled against libtorch as a user's own program is.
#[test]
fn a_program_of_its_own_runs_the_pruned_detector_as_it_ran_the_original() {
    let Pair { pruned, zeroed, folder, .. } = pair(&fixture("families/detector.pt"), &[IMAGE.to_vec().into()]);
    let libtorch = std::env::var("LIBTORCH").map(PathBuf::from).unwrap();
    let (include, lib) = (libtorch.join("include"), libtorch.join("lib"));
    let program = folder.path().join("detect");
    let compiled = Command::new("c++")
        .args(["-std=c++17", "-O0", "-isystem"])
        .arg(&include)
        .arg("-isystem")
        .arg(include.join("torch/csrc/api/include"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch/detect.cpp"))
        .arg("-o")
        .arg(&program)
        .arg(format!("-L{}", lib.display()))
        .arg(format!("-Wl,--no-as-needed,-rpath,{}", lib.display()))
        .args(["-ltorch", "-ltorch_cpu", "-lc10"])
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new(&program).args([&zeroed, &pruned]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(said, "names.json: [\"cat\", \"dog\"]\nnames: cat dog\nsizes: 3\n");
}

#[test]
fn what_an_input_that_was_left_out_leads_to_is_told() {
    let archive = module()
        .parameter("a.weight", &[8, 4])
        .parameter("e.weight", &[8, 3])
        .parameter("o.weight", &[5, 8])
        .forward(
            "def forward(self, x, condition: Optional[Tensor] = None):
                y = torch.linear(x, self.a.weight)
                if condition is not None:
                    y = y + torch.linear(condition, self.e.weight)
                return torch.linear(torch.relu(y), self.o.weight)",
        )
        .write();
    let alone = archive.import(&[&[4]]).graph;
    let told = untried_branches(&archive.path, &alone).unwrap().unwrap();
    assert!(told.contains("`condition`") && told.contains("`e.weight`") && !told.contains("`a.weight`"), "{told}");
    let both = archive.import(&[&[4], &[3]]).graph;
    assert_eq!(untried_branches(&archive.path, &both).unwrap(), None);
    let tied = |group: &secateur_core::group::Group| group.tensors().contains(&"e.weight:0".to_owned());
    assert!(
        Grouping::of(&both).groups().iter().any(tied),
        "given, its features are cut with those that they are added to"
    );
}

#[test]
fn what_is_read_at_another_size_alone_is_known() {
    let archive = module()
        .parameter("small.weight", &[5, 4])
        .parameter("large.weight", &[5, 8])
        .forward(
            "def forward(self, x):
                if x.size(1) == 4:
                    return torch.linear(x, self.small.weight)
                return torch.linear(x, self.large.weight)",
        )
        .write();
    let graph = archive.import(&[&[4]]).graph;
    let read = |size| torch::parameters_read_at(&archive.path, &graph, &[vec![size]]).unwrap();
    assert_eq!(read(4).into_iter().collect::<Vec<_>>(), ["small.weight"]);
    assert_eq!(read(8).into_iter().collect::<Vec<_>>(), ["large.weight"]);
}
