//! The user's own program with smaller tensors: the export that changes nothing else.
//!
//! The tensors of the archive are replaced by those of the cut network, and the program is evaluated again. Numbers that it
//! computes from the sizes of tensors follow by themselves. Where a call is given something else than in the cut graph, the evaluator
//! says where that stands in the source text (`cpp/source.h`), goes on with what it has to be, and so finds every such place
//! in one run. Literals are replaced there, for the module that made the call; an expression is only scaled, once no literal is left to replace.
//! Then the program is evaluated once more. What counts in the end is that two recordings of the new file, as the importer makes
//! them of any model, are fitted to the very graph of the cut network.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use secateur_core::archive::patch::{NewTensors, NotPatched, Place, Program};
use secateur_core::graph::{Graph, GraphFile, Literal, Node, Size, Value};
use secateur_core::report::ProgramEdit;
use tch::{Device, Kind, Tensor};

use super::TorchError;
use super::archive::{Archive, BATCHES, Input, Interface, TensorLimit, inputs_of};
use super::bridge::ffi::PlaceKind;
use super::guide::{Found, Wishes, is_same};
use super::recording::{Fitted, Recording, fit};

/// Runs that may find places; each finds all that those before it made visible.
const MOST_ROUNDS: usize = 6;

/// Writes the archive `model`, whose graph is `original`, as that of the `cut` graph with its `weights`.
///
/// # Errors
/// Why the program cannot be written with these changes.
pub fn patch(
    model: &Path,
    original: &Graph,
    (cut, weights): (&Graph, &[Tensor]),
    target: &Path,
    extra: &[(&str, &str)],
) -> Result<Vec<ProgramEdit>, NotPatched> {
    let _limit = TensorLimit::begin(model);
    let inputs = inputs_of(original);
    let (recording, Fitted { file, kept, calls }) = record(model, original, &inputs)?;
    if file.nodes.len() != original.nodes().len() || cut.nodes().len() != calls.len() {
        return Err(NotPatched::new("the program does not make the calls that it made when it was imported"));
    }
    let new = Weights::new(cut, weights, &recording, &kept)?;
    let mut program = Program::open(model)?;
    program.write(target, &new, &BTreeMap::new(), extra)?;

    let mut made: Vec<ProgramEdit> = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let archive = Archive::load_again(target, original).map_err(|error| program_fails(&error))?;
        let mut wishes = Wishes::new(original, cut, &calls, BATCHES.0);
        archive.follow(&inputs, BATCHES.0, &mut wishes).map_err(|error| program_fails(&error))?;
        drop(archive);
        if wishes.found.is_empty() {
            check(target, &inputs, original, cut)?;
            return Ok(made);
        }
        let mut program = Program::open(target)?;
        let edits = edits(&program, &wishes.found)?;
        made.extend(edits.iter().map(|(_, edit)| edit.clone()));
        let mut texts: BTreeMap<Place, String> = BTreeMap::new();
        for (place, edit) in edits {
            // Arguments that are left out are inserted one behind the other.
            if edit.before.is_empty()
                && let Some(others) = texts.get_mut(&place)
            {
                if !others.contains(&edit.after) {
                    others.push_str(&edit.after);
                }
                continue;
            }
            if let Some(other) = texts.insert(place, edit.after.clone())
                && other != edit.after
            {
                return Err(NotPatched::new(format!(
                    "`{}` in `{}` would have to be both {other} and {} ({})",
                    edit.before, edit.module, edit.after, edit.operator
                )));
            }
        }
        let next = target.with_extension("next");
        program.write(&next, &Unchanged, &texts, &[])?;
        std::fs::rename(&next, target).map_err(NotPatched::from)?;
    }
    Err(NotPatched::new("changes of the program make others necessary, again and again"))
}

/// Names of the methods beside `forward` of the archive `model`.
///
/// # Errors
/// The archive cannot be loaded.
pub fn methods(model: &Path) -> Result<Vec<String>, TorchError> {
    Ok(Archive::load(model)?.interface()?.methods)
}

/// Inputs of the archive `model` that have a default and were not given when its `graph` was recorded.
///
/// # Errors
/// The archive cannot be loaded.
pub fn inputs_left_out(model: &Path, graph: &Graph) -> Result<Vec<String>, TorchError> {
    let Interface { required, optional, .. } = Archive::load(model)?.interface()?;
    let given = graph.inputs().len() + graph.file().numbers.len();
    Ok(optional.into_iter().skip(given.saturating_sub(required)).collect())
}

/// What a recording of the archive `model` lacks that the program has, one sentence each.
///
/// # Errors
/// The archive cannot be loaded.
pub fn lost_by_recording(model: &Path, original: &Graph) -> Result<Vec<String>, TorchError> {
    let Interface { methods, attributes, optional, named_tuple, .. } = Archive::load(model)?.interface()?;
    let extra = Program::open(model).map(|program| program.extra_files()).unwrap_or_default();
    let shapes: Vec<String> = inputs_of(original).iter().map(|input| format!("{:?}", input.shape)).collect();
    let list = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let named = |names: &[String], what: &str| (!names.is_empty()).then(|| format!("{what}: {}.", list(names)));
    let sentences = [
        Some(format!("Inputs must have the size {}; only the batch may vary.", shapes.join(" and "))),
        named(&methods, "Methods that it has no more"),
        named(&attributes, "Attributes that it has no more"),
        named(&optional, "Optional inputs that it takes no more"),
        named(&extra, "Extra files that it has no more"),
        (!named_tuple.is_empty()).then(|| format!("It returns a plain tuple instead of `{named_tuple}`.")),
    ];
    Ok(sentences.into_iter().flatten().collect())
}

fn program_fails(error: &TorchError) -> NotPatched {
    NotPatched::new(format!("with smaller tensors the program fails: {error}"))
}

fn record(model: &Path, graph: &Graph, inputs: &[Input]) -> Result<(Recording, Fitted), NotPatched> {
    let recorded = || -> Result<_, TorchError> {
        let archive = Archive::load_again(model, graph)?;
        let (first, _) = archive.record(inputs, BATCHES.0)?;
        let (second, _) = archive.record(inputs, BATCHES.1)?;
        let fitted = fit(&first, &second, BATCHES)?;
        Ok((first, fitted))
    };
    recorded().map_err(|error| program_fails(&error))
}

/// The places of one run, with the text that belongs there. Expressions wait until no literal is left, since what they compute may follow it.
fn edits(program: &Program, found: &[Found]) -> Result<Vec<(Place, ProgramEdit)>, NotPatched> {
    if let Some(found) = found.iter().find(|found| found.place.kind == PlaceKind::Unknown) {
        return Err(NotPatched::new(format!(
            "it cannot be told where the program says `{}` of `{}` ({})",
            found.argument, found.node, found.op
        )));
    }
    let is_expression = |found: &&Found| found.place.kind == PlaceKind::Expression;
    let first: Vec<&Found> = found.iter().filter(|found| !is_expression(found)).collect();
    let now = if first.is_empty() { found.iter().collect() } else { first };
    now.into_iter().map(|found| edit(program, found)).collect()
}

fn edit(program: &Program, found: &Found) -> Result<(Place, ProgramEdit), NotPatched> {
    let at = &found.place;
    let code = Place::Code {
        record: at.record.clone(),
        start: at.start,
        end: at.end,
        instance: at.instance.clone(),
        calls: at.calls.clone(),
    };
    let before = program.text(&at.record, at.start, at.end).unwrap_or_default().to_owned();
    let (place, before, after) = match at.kind {
        PlaceKind::Attribute => {
            let place = Place::Attribute { instance: at.instance.clone(), name: at.name.clone() };
            (place, format!("self.{} = {}", at.name, text(&found.given)?), text(&found.wanted)?)
        }
        PlaceKind::Omission => (code, before, format!(", {}={}", at.name, text(&found.wanted)?)),
        PlaceKind::Expression => match scale(found) {
            Some((times, over)) => {
                let scaled = if times == 1 { before.clone() } else { format!("torch.mul({before}, {times})") };
                let after = if over == 1 { scaled } else { format!("torch.floordiv({scaled}, {over})") };
                (code, before, after)
            }
            None => (code, before, text(&found.wanted)?),
        },
        _ => {
            let after = found.text.clone().map_or_else(|| text(&found.wanted), Ok)?;
            (code, before, after)
        }
    };
    let edit = ProgramEdit {
        module: at.instance.clone(),
        operator: found.op.clone(),
        argument: found.argument.clone(),
        before,
        after,
    };
    Ok((place, edit))
}

/// The fraction that an integer has to be multiplied by.
fn scale(found: &Found) -> Option<(i64, i64)> {
    let (&Literal::Int(given), &Literal::Int(wanted)) = (&found.given, &found.wanted) else { return None };
    // Only one of the parts: a sum is not scaled by a factor.
    let wanted = if wanted.per_sample == 0 { wanted.fixed } else { wanted.at_batch(BATCHES.0) };
    let is_sum = found_is_sum(&found.wanted);
    if given.fixed <= 0 || wanted <= 0 || is_sum {
        return None;
    }
    let divisor = greatest_common_divisor(given.fixed, wanted);
    Some((wanted / divisor, given.fixed / divisor))
}

fn found_is_sum(literal: &Literal) -> bool {
    matches!(literal, Literal::Int(Size { per_sample, fixed }) if *per_sample != 0 && *fixed != 0)
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// A literal in the source language.
fn text(literal: &Literal) -> Result<String, NotPatched> {
    let integer = |size: &Size| match size.as_fixed() {
        Some(fixed) => Ok(fixed.to_string()),
        None => Err(NotPatched::new("a number that has to follow the batch is written as a literal")),
    };
    match literal {
        Literal::None => Ok("None".to_owned()),
        Literal::Int(size) => integer(size),
        Literal::Ints(sizes) => {
            let items: Vec<String> = sizes.iter().map(integer).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        Literal::Float(value) if value.is_finite() => Ok(format!("{value:?}")),
        other => Err(NotPatched::new(format!("{other:?} cannot be written into the source text"))),
    }
}

/// The new file makes, call for call, what the cut graph holds.
fn check(target: &Path, inputs: &[Input], original: &Graph, cut: &Graph) -> Result<(), NotPatched> {
    let (_, Fitted { file, .. }) = record(target, original, inputs)?;
    match difference(&file, original, cut) {
        None => Ok(()),
        Some(what) => Err(NotPatched::new(format!("the changed program would differ from the pruned network: {what}"))),
    }
}

fn difference(file: &GraphFile, original: &Graph, cut: &Graph) -> Option<String> {
    let expected = cut.file();
    if file.nodes.len() != expected.nodes.len() || file.values.len() != expected.values.len() {
        return Some(format!("{} calls instead of {}", file.nodes.len(), expected.nodes.len()));
    }
    for ((made, node), before) in file.nodes.iter().zip(&expected.nodes).zip(original.nodes()) {
        // Surgery says with `split_with_sizes` what `chunk` makes of the smaller tensor too; the shapes below tell.
        let is_split = node.op == "aten::split_with_sizes" && made.tensor("self") == node.tensor("self");
        let is_as_it_was = node.op != before.op && made.op == before.op && (is_split || is_same_call(made, before));
        if !is_same_call(made, node) && !is_as_it_was {
            return Some(format!("`{}` ({})", node.name, node.op));
        }
    }
    if let Some(index) =
        (0..file.values.len()).find(|&index| !is_same_value(&file.values[index], &expected.values[index]))
    {
        let (made, value) = (&file.values[index], &expected.values[index]);
        return Some(format!("a tensor of shape {:?} instead of {:?}", made.shape, value.shape));
    }
    (file.output != expected.output).then(|| "what it returns".to_owned())
}

fn is_same_value(one: &Value, other: &Value) -> bool {
    (&one.shape, one.dtype) == (&other.shape, other.dtype)
}

fn is_same_call(one: &Node, other: &Node) -> bool {
    let devices = |a: &Literal, b: &Literal| matches!((a, b), (Literal::Device(_), Literal::Device(_)));
    let is_same_argument = |(a, b): (&_, &_)| {
        let (a, b): (&secateur_core::graph::Argument, &secateur_core::graph::Argument) = (a, b);
        a.name == b.name && (is_same(&a.value, &b.value) || devices(&a.value, &b.value))
    };
    one.op == other.op
        && one.overload == other.overload
        && one.outputs == other.outputs
        && one.args.len() == other.args.len()
        && one.args.iter().zip(&other.args).all(is_same_argument)
}

/// The tensors of the cut network by the names that the archive has for them.
struct Weights<'a>(HashMap<String, &'a Tensor>);

impl<'a> Weights<'a> {
    fn new(cut: &Graph, weights: &'a [Tensor], recording: &Recording, kept: &[usize]) -> Result<Self, NotPatched> {
        let constants: HashMap<_, _> = recording.constants.iter().map(|(value, name)| (*value, name)).collect();
        let mut tensors = HashMap::new();
        for ((parameter, tensor), &index) in cut.parameters().iter().zip(weights).zip(kept) {
            let recorded = &recording.parameters[index];
            let name = if recorded.name.starts_with("CONSTANTS.") {
                match constants.get(&recorded.value) {
                    Some(name) => (*name).clone(),
                    // The program computes it.
                    None => continue,
                }
            } else {
                parameter.name.clone()
            };
            tensors.insert(name, tensor);
        }
        Ok(Self(tensors))
    }
}

impl NewTensors for Weights<'_> {
    fn sizes(&self, name: &str) -> Option<Vec<i64>> {
        self.0.get(name).map(|tensor| tensor.size())
    }

    fn elements(&self, name: &str, order: &[usize]) -> Result<Vec<u8>, NotPatched> {
        let failed = |error: tch::TchError| NotPatched::new(format!("the tensor `{name}` cannot be written: {error}"));
        let tensor = self.0.get(name).ok_or_else(|| NotPatched::new(format!("there is no tensor `{name}`")))?;
        let order: Vec<i64> = order.iter().map(|&dim| dim as i64).collect();
        let tensor = tensor.f_to(Device::Cpu).and_then(|tensor| tensor.f_permute(&order)).map_err(failed)?;
        let tensor = tensor.f_contiguous().map_err(failed)?;
        let mut bytes = vec![0; tensor.numel() * bytes_of(tensor.f_kind().map_err(failed)?)];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel()).map_err(failed)?;
        Ok(bytes)
    }
}

fn bytes_of(kind: Kind) -> usize {
    kind.elt_size_in_bytes()
}

/// No tensor is replaced.
struct Unchanged;

impl NewTensors for Unchanged {
    fn sizes(&self, _name: &str) -> Option<Vec<i64>> {
        None
    }

    fn elements(&self, name: &str, _order: &[usize]) -> Result<Vec<u8>, NotPatched> {
        Err(NotPatched::new(format!("there is no tensor `{name}`")))
    }
}
