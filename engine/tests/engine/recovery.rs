//! Surgery, its oracle and fine-tuning on the example networks, in this process.

use std::cell::OnceCell;

use secateur_core::configuration::Candidate;
use secateur_core::cost::CostModel;
use secateur_core::dataset::Dataset;
use secateur_core::graph::ParameterKind;
use secateur_core::group::Grouping;
use secateur_core::method::propose;
use secateur_core::number::Positive;
use secateur_core::recovery::Recipe;
use secateur_core::spec::{BatchNorm, FineTune, JobSpec, Optimizer, Precision};
use secateur_core::surgery::{self, Cut, Hint};
use secateur_core::wire::Device;
use secateur_engine::data::{Data, Split, SplitName};
use secateur_engine::error::Error;
use secateur_engine::measure::batch_norm;
use secateur_engine::measure::evaluate::{self, Validator};
use secateur_engine::network::{Network, cut, weights};
use secateur_engine::output::Outputs;
use secateur_engine::process::messages::Messages;
use secateur_engine::proof::oracle;
use secateur_engine::reconstruction::reconstruct;
use secateur_engine::torch;
use secateur_engine::training::repair::Repair;
use secateur_engine::training::{Session, Start, Tuned, fine_tune};
use tch::Tensor;

use crate::job::example;

const SPEC: &str = r#"{"target": {"flops_reduction": 0.5}, "method": "global_l2", "input": {"mean": 4.9, "std": 6.0}, "fine_tune": {"epochs": 1, "lr": 0.02}}"#;

struct Cutting {
    original: Network,
    cut: Cut,
}

fn spec() -> JobSpec {
    JobSpec::from_json(SPEC).unwrap()
}

fn cut_example(model: &str) -> Cutting {
    torch::runtime::initialise(1, Device::Cpu).unwrap();
    let imported = torch::import(&example(model), Some(&[vec![1, 8, 8]])).unwrap();
    let grouping = Grouping::of(&imported.graph);
    let host = weights::to_host(&imported.graph, &imported.weights).unwrap();
    let costs = CostModel::of(&imported.graph, &grouping);
    let candidates: Vec<Candidate> = propose(&imported.graph, &grouping, &costs, &host, &spec()).unwrap();
    let cut = surgery::cut(&imported.graph, &grouping, &candidates[0].configuration).unwrap();
    Cutting { original: Network::new(imported.graph, imported.weights).unwrap(), cut }
}

impl Cutting {
    fn pruned(&self) -> Network {
        let tensors = cut::apply(self.original.graph(), &self.cut, self.original.weights()).unwrap();
        Network::new(self.cut.graph.clone(), tensors).unwrap()
    }

    fn check(&self) -> Result<f64, Error> {
        oracle::check(7, &self.original, &self.cut, &self.pruned(), None, 0).map(|found| found.max_abs_diff)
    }
}

fn split(network: &Network, spec: &JobSpec, name: SplitName) -> Split {
    let dataset = Dataset::open(&example("digits.npz")).unwrap();
    Data::of(dataset, network.graph(), spec, tch::Device::Cpu).unwrap().split(name).unwrap()
}

#[test]
fn the_oracle_passes_a_right_surgery_of_every_example() {
    for model in ["resnet20-digits.pt", "vgg-digits.pt"] {
        cut_example(model).check().unwrap();
    }
}

#[test]
fn the_oracle_catches_a_single_wrong_channel() {
    let mut cutting = cut_example("resnet20-digits.pt");
    swap_a_column(&mut cutting.cut, "");
    let message = cutting.check().unwrap_err().to_string();
    assert!(
        message.contains("our bug") && message.contains("candidate 7") && message.contains("differ by"),
        "{message}"
    );
}

/// The neighbour of a kept input column instead of the column itself, in a layer whose name begins with this.
fn swap_a_column(cut: &mut Cut, layer: &str) {
    let has_gap = |kept: &[u32]| kept[0] > 0 || kept.windows(2).any(|pair| pair[1] > pair[0] + 1);
    let of_layer = cut.kept.0.iter_mut().filter(|(name, _)| name.starts_with(layer));
    let columns = of_layer
        .filter_map(|(_, axes)| axes.get_mut(&1))
        .find(|kept| has_gap(kept))
        .expect("some consumer lost a column that is not its last");
    let gap = (0..columns.len()).find(|&at| columns[at] > if at == 0 { 0 } else { columns[at - 1] + 1 }).unwrap();
    columns[gap] -= 1;
}

/// Shifts what a batch norm reads by as much as it subtracts again, which costs float32 most of its digits.
fn ill_conditioned(mut cutting: Cutting) -> Cutting {
    let parameters = cutting.original.graph().parameters();
    let shifted = ["features.3.bias", "features.4.running_mean"]
        .map(|name| parameters.iter().position(|parameter| parameter.name == name).expect(name));
    for index in shifted {
        let _no_grad = tch::no_grad_guard();
        let _ = cutting.original.weights_mut()[index].f_add_scalar_(1e4).unwrap();
    }
    cutting
}

#[test]
fn the_oracle_settles_in_float64_what_rounding_hides_in_float32() {
    let cutting = ill_conditioned(cut_example("vgg-digits.pt"));
    let found = oracle::check(7, &cutting.original, &cutting.cut, &cutting.pruned(), None, 0).unwrap();
    assert!(found.max_abs_diff <= found.tolerance && found.tolerance < 1e-6, "{found:?}");
}

#[test]
fn a_wrong_channel_is_caught_in_float64_too() {
    let mut cutting = ill_conditioned(cut_example("vgg-digits.pt"));
    swap_a_column(&mut cutting.cut, "features.7");
    assert!(cutting.check().unwrap_err().to_string().contains("our bug"));
}

#[test]
fn recalibration_brings_accuracy_back_and_leaves_the_original_alone() {
    let cutting = cut_example("resnet20-digits.pt");
    let spec = spec();
    let (train, val) =
        (split(&cutting.original, &spec, SplitName::Train), split(&cutting.original, &spec, SplitName::Val));
    let answers = || cutting.original.answers(&val.range(0..val.count()).unwrap()).unwrap().remove(0);
    let original = answers();
    let before = evaluate::with_labels(&cutting.pruned(), &val).unwrap().unwrap().value;
    let recalibrated = batch_norm::reestimate(cutting.pruned(), &train, 0).unwrap();
    let after = evaluate::with_labels(&recalibrated, &val).unwrap().unwrap().value;
    assert!(after > before, "{before} before, {after} after");
    assert!(answers().equal(&original));
}

#[test]
fn recalibrating_the_uncut_network_hardly_changes_it() {
    let cutting = cut_example("resnet20-digits.pt");
    let spec = spec();
    let (train, val) =
        (split(&cutting.original, &spec, SplitName::Train), split(&cutting.original, &spec, SplitName::Val));
    let before = evaluate::with_labels(&cutting.original, &val).unwrap().unwrap().value;
    let recalibrated = batch_norm::reestimate(cutting.original, &train, 0).unwrap();
    let after = evaluate::with_labels(&recalibrated, &val).unwrap().unwrap().value;
    assert!((after - before).abs() < 0.02, "{before} before, {after} after");
}

fn tune(cutting: &Cutting, settings: &FineTune) -> Result<Tuned, Error> {
    tune_with_hints(cutting, settings, &[])
}

fn tune_with_hints(cutting: &Cutting, settings: &FineTune, hints: &[Hint]) -> Result<Tuned, Error> {
    let spec = spec();
    let (train, val) =
        (split(&cutting.original, &spec, SplitName::Train), split(&cutting.original, &spec, SplitName::Val));
    let start = cutting.pruned();
    let messages = Messages::discard();
    let outputs = Outputs::of(&cutting.original, &train, &[]).unwrap();
    let session = Session {
        original: &cutting.original,
        outputs: &outputs,
        train: &train,
        validator: &Validator::new(&cutting.original, &outputs, &val).unwrap(),
        settings,
        seed: 0,
        messages: &messages,
        answers: OnceCell::new(),
        checkpoints: None,
    };
    fine_tune(&session, Start { graph: start.graph(), weights: start.weights(), hints, candidate: 0 })
}

#[test]
fn hints_change_what_is_learnt_where_they_have_a_weight() {
    let cutting = cut_example("vgg-digits.pt");
    let hints = surgery::hints(cutting.original.graph(), &cutting.cut);
    assert!(hints.len() > 3, "{hints:?}");
    let settings = |hints: f64| FineTune { epochs: 1, lr: Some(0.02), hints, ..FineTune::default() };
    let without = tune(&cutting, &settings(0.0)).unwrap();
    let are_equal = |tuned: &Tuned| tuned.weights.iter().zip(&without.weights).all(|(one, other)| one.equal(other));
    assert!(are_equal(&tune_with_hints(&cutting, &settings(0.0), &hints).unwrap()));
    let with = tune_with_hints(&cutting, &settings(1.0), &hints).unwrap();
    assert!(!are_equal(&with) && with.best_epoch == 1);
    assert!(with.epochs[0].train_loss > without.epochs[0].train_loss, "it has a part more");
}

#[test]
fn fine_tuning_trains_parameters_and_statistics_and_nothing_else() {
    let cutting = cut_example("vgg-digits.pt");
    let settings = FineTune { epochs: 1, lr: Some(0.02), ..FineTune::default() };
    let tuned = tune(&cutting, &settings).unwrap();
    assert_eq!(tuned.best_epoch, 1);
    let recipe = Recipe {
        optimizer: Optimizer::Sgd,
        lr: 0.02,
        batch_norm: BatchNorm::Train,
        precision: Precision::Float32,
        micro_batch: settings.batch_size.get() as u32,
    };
    assert_eq!(tuned.recipe, recipe);
    let start = cutting.pruned();
    for ((parameter, before), after) in cutting.cut.graph.parameters().iter().zip(start.weights()).zip(&tuned.weights) {
        assert!(!after.requires_grad(), "{}", parameter.name);
        let is_counter = parameter.name.ends_with("num_batches_tracked");
        assert_eq!(before.equal(after), is_counter, "{}", parameter.name);
    }
    assert!(Tensor::from_slice(&[1.0_f32]).set_requires_grad(true).sum(tch::Kind::Float).requires_grad());
}

#[test]
fn with_frozen_batch_norm_fine_tuning_trains_parameters_alone() {
    let cutting = cut_example("vgg-digits.pt");
    let micro_batch = Some(Positive::new(16));
    let settings =
        FineTune { epochs: 1, lr: Some(0.02), batch_norm: BatchNorm::Frozen, micro_batch, ..FineTune::default() };
    let tuned = tune(&cutting, &settings).unwrap();
    assert_eq!(tuned.best_epoch, 1);
    assert_eq!((tuned.recipe.batch_norm, tuned.recipe.micro_batch), (BatchNorm::Frozen, 16));
    let start = cutting.pruned();
    for ((parameter, before), after) in cutting.cut.graph.parameters().iter().zip(start.weights()).zip(&tuned.weights) {
        assert_eq!(before.equal(after), parameter.kind == ParameterKind::Buffer, "{}", parameter.name);
    }
}

#[test]
fn no_epochs_keep_the_network_as_it_was() {
    let cutting = cut_example("vgg-digits.pt");
    let tuned = tune(&cutting, &FineTune { epochs: 0, ..FineTune::default() }).unwrap();
    assert_eq!(tuned.best_epoch, 0);
    assert!(cutting.pruned().weights().iter().zip(&tuned.weights).all(|(before, after)| before.equal(after)));
}

#[test]
fn divergence_at_both_learning_rates_is_a_failure() {
    let cutting = cut_example("vgg-digits.pt");
    let settings = FineTune { epochs: 2, lr: Some(1e30), ..FineTune::default() };
    let message = tune(&cutting, &settings).err().unwrap().to_string();
    assert!(message.contains("fine-tuning diverged"), "{message}");
}

#[test]
fn some_steps_of_distillation_repair_much_the_same_way_every_time() {
    let cutting = cut_example("resnet20-digits.pt");
    let spec = spec();
    let (train, val) =
        (split(&cutting.original, &spec, SplitName::Train), split(&cutting.original, &spec, SplitName::Val));
    let outputs = Outputs::of(&cutting.original, &train, &[]).unwrap();
    let meter = Validator::new(&cutting.original, &outputs, &val).unwrap();
    let cut = || batch_norm::reestimate(cutting.pruned(), &train, 0).unwrap();
    let settings = FineTune { lr: Some(0.02), batch_size: Positive::new(64), ..FineTune::default() };
    let repair = Repair::new(&cutting.original, &outputs, &train, &settings, 30, 0).unwrap();
    let repaired = repair.network(cut()).unwrap();

    let (before, after) = (meter.score(&cut()).unwrap(), meter.score(&repaired).unwrap());
    assert!(after.loss < 0.7 * before.loss && after.is_better_than(&before), "{before:?} before, {after:?} after");
    let again = repair.network(cut()).unwrap();
    assert!(repaired.weights().iter().zip(again.weights()).all(|(one, other)| one.equal(other)));
    assert!(repaired.weights().iter().all(|tensor| !tensor.requires_grad()));
}

/// Half of the MACs are cut; the networks never saw a gradient.
#[test]
fn a_repair_in_closed_form_brings_most_of_the_accuracy_back() {
    for model in ["resnet20-digits.pt", "vgg-digits.pt"] {
        let cutting = cut_example(model);
        let spec = spec();
        let (train, val) =
            (split(&cutting.original, &spec, SplitName::Train), split(&cutting.original, &spec, SplitName::Val));
        let accuracy = |network: &Network| evaluate::with_labels(network, &val).unwrap().unwrap().value;
        let (original, before) = (accuracy(&cutting.original), accuracy(&cutting.pruned()));
        let repair = || reconstruct(&cutting.original, &cutting.cut, cutting.pruned(), &train, 512, 0).unwrap();
        let (repaired, found) = repair();
        let after = accuracy(&repaired);
        println!("{model}: {original} uncut, {before} cut, {after} repaired, {found:?}");
        assert_eq!(found.left, 0, "{model}");
        assert!(
            original - after < 0.5 * (original - before),
            "{model}: {original} uncut, {before} cut, {after} repaired"
        );
        assert!(repaired.weights().iter().zip(repair().0.weights()).all(|(one, other)| one.equal(other)), "{model}");
    }
}

#[test]
fn a_repair_that_diverges_leaves_the_network_as_it_was() {
    let cutting = cut_example("vgg-digits.pt");
    let train = split(&cutting.original, &spec(), SplitName::Train);
    let settings = FineTune { lr: Some(1e30), ..FineTune::default() };
    let outputs = Outputs::of(&cutting.original, &train, &[]).unwrap();
    let repair = Repair::new(&cutting.original, &outputs, &train, &settings, 5, 0).unwrap();
    let repaired = repair.network(cutting.pruned()).unwrap();
    assert!(cutting.pruned().weights().iter().zip(repaired.weights()).all(|(before, after)| before.equal(after)));
}

#[test]
fn a_deep_copy_shares_no_memory() {
    let cutting = cut_example("vgg-digits.pt");
    let copies = weights::deep_copy(cutting.original.graph(), cutting.original.weights()).unwrap();
    assert!(copies.iter().zip(cutting.original.weights()).all(|(copy, tensor)| copy.equal(tensor)));
    assert!(
        copies
            .iter()
            .zip(cutting.original.weights())
            .all(|(copy, tensor): (&Tensor, &Tensor)| { copy.data_ptr() != tensor.data_ptr() || tensor.numel() == 0 })
    );
}
