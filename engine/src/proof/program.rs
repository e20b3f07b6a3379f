//! The check of a patched program beside the original, both as a user's process loads and runs them.
//!
//! The oracle ([`super::oracle`]) compares graphs, which hold for the recorded size and for `forward`. A patched file is a program for
//! every size that the user's program takes, with all of its methods. So it is run at other sizes, several times in a row (the executor
//! rewrites a program after its first calls, and a program may keep state), and its methods are called, beside the original program
//! with the removed input columns at zero.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use secateur_core::graph::{Graph, Node, ParameterKind};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::report::{MethodReport, ProvedSize};
use secateur_core::surgery::Cut;
use tch::{Device, Tensor};

use crate::error::Error;
use crate::network::cut::{apply, with_zeroed_columns};
use crate::network::{Network, random_inputs_of};
use crate::proof::difference;
use crate::torch::{self, Reloaded, TorchError};

const BATCH: i64 = 2;
/// Calls in a row: libtorch watches the first, and rewrites the program for those after it.
const CALLS: usize = 3;
/// What a size grows by at least in the second of two sizes.
const FAR: i64 = 32;

/// What was found where nothing is wrong.
#[derive(Debug)]
pub struct Compared {
    /// The recorded size, and the other ones that the original takes.
    pub proved: Vec<ProvedSize>,
    /// Every method beside `forward`.
    pub methods: Vec<MethodReport>,
    /// Sizes at which the program would read parameters that it does not read at the recorded one, a sentence each.
    pub broken_sizes: Vec<String>,
}

/// Compares the patched program with the original at the recorded size and at two others, and all methods.
///
/// # Errors
/// A failure when the patched program does something else, which is our bug, or a rejection when that comes of what it keeps from call to
/// call.
pub fn check(model: &Path, original: &Network, cut: &Cut, scratch: [PathBuf; 2], seed: u64) -> Result<Compared, Error> {
    let [zeroed, pruned] = &scratch;
    let written = write(model, original, cut, zeroed, pruned);
    let compared = written.and_then(|()| Sides { original, cut, zeroed, pruned, seed }.compare(model));
    for file in &scratch {
        let _ = std::fs::remove_file(file);
    }
    compared
}

fn write(model: &Path, original: &Network, cut: &Cut, zeroed_file: &Path, pruned_file: &Path) -> Result<(), Error> {
    let _no_grad = tch::no_grad_guard();
    let graph = original.graph();
    let zeroed = with_zeroed_columns(graph, &cut.zeroed, original.weights())?;
    let smaller = apply(graph, cut, original.weights())?;
    let write = |network: (&_, &[Tensor]), file: &Path| {
        torch::patch(model, graph, network, file, &[])
            .map_err(|why| Error::internal(format!("{}: {why}", file.display())))
    };
    write((graph, &zeroed), zeroed_file)?;
    write((&cut.graph, &smaller), pruned_file)?;
    Ok(())
}

/// The two files that are compared.
struct Sides<'a> {
    original: &'a Network,
    cut: &'a Cut,
    zeroed: &'a Path,
    pruned: &'a Path,
    seed: u64,
}

impl Sides<'_> {
    fn compare(&self, model: &Path) -> Result<Compared, Error> {
        let _no_grad = tch::no_grad_guard();
        let graph = self.original.graph();
        let home = shapes_at_home(graph);
        let at_home = self.samples(&home)?;
        let (zeroed, pruned) = self.open()?;
        // A normalisation over cut channels makes another function of it, and rounding may be beyond float32.
        let is_exact = self.cut.reference.is_none() && agree(&pruned.forward(&at_home)?, &zeroed.forward(&at_home)?);
        let outputs = match self.compare_at(&home, is_exact)? {
            Beside::Same { outputs } => outputs,
            Beside::Different(different) => return Err(self.failure(&home, &different)),
            Beside::NotTaken => output_shapes(graph),
        };
        let methods = self.compare_methods(model, &at_home, is_exact)?;
        let (mut proved, mut broken_sizes) = (vec![ProvedSize { shapes: home, values: is_exact, outputs }], Vec::new());
        for shapes in other_shapes(graph) {
            match self.compare_at(&shapes, is_exact)? {
                Beside::Same { outputs } => proved.push(ProvedSize { shapes, values: is_exact, outputs }),
                Beside::Different(different) => {
                    let newly_read = self.newly_read(model, &shapes);
                    let why = if !newly_read.is_empty() {
                        let names = newly_read.join(", ");
                        format!(
                            "there it reads what it does not read at the given size, and what therefore was not cut ({names})"
                        )
                    } else if self.splits_samples(&at_home, &self.samples(&shapes)?)? {
                        "there the original makes several rows of a sample, by a size that is written into it"
                            .to_owned()
                    } else {
                        return Err(self.failure(&shapes, &different));
                    };
                    broken_sizes.push(format!("At inputs of {shapes:?} the program {}: {why}.", different.problem));
                }
                Beside::NotTaken => {}
            }
        }
        Ok(Compared { proved, methods, broken_sizes })
    }

    /// Parameters that the original reads at these shapes and not at the recorded ones.
    fn newly_read(&self, model: &Path, shapes: &[Vec<i64>]) -> Vec<String> {
        let graph = self.original.graph();
        let read = torch::parameters_read_at(model, graph, shapes).unwrap_or_default();
        unread_parameters(graph)
            .into_iter()
            .filter(|name| read.contains(name))
            .map(|name| format!("`{name}`"))
            .collect()
    }

    /// Whether the original gives one row for a sample at the recorded size, and at another one several, or none of a sample alone: as
    /// after `x.view(-1, 1024)`. Such a row is a part of a sample, or of two, and its channels are not those that were cut.
    fn splits_samples(&self, at_home: &[Tensor], elsewhere: &[Tensor]) -> Result<bool, Error> {
        let (zeroed, _) = self.open()?;
        let rows_of_one = |inputs: &[Tensor]| -> Result<Vec<Option<i64>>, TorchError> {
            let alone: Vec<Tensor> = inputs.iter().map(|input| input.narrow(0, 0, 1)).collect();
            Ok(zeroed.forward(&alone)?.iter().map(|output| output.size().first().copied()).collect())
        };
        // A program that keeps to the batch of its recording says nothing about one sample.
        let Ok(home) = rows_of_one(at_home) else { return Ok(false) };
        let Ok(there) = rows_of_one(elsewhere) else { return Ok(home.contains(&Some(1))) };
        Ok(home.iter().zip(&there).any(|(home, there)| *home == Some(1) && *there != Some(1)))
    }

    /// Both programs as a new process finds them, with nothing kept from a call before.
    fn open(&self) -> Result<(Reloaded, Reloaded), Error> {
        let numbers = &self.original.graph().file().numbers;
        let open = |file| Reloaded::open(file, Device::Cpu).map(|program| program.with_numbers(numbers));
        Ok((open(self.zeroed)?, open(self.pruned)?))
    }

    fn samples(&self, shapes: &[Vec<i64>]) -> Result<Vec<Tensor>, Error> {
        let shapes: Vec<Vec<i64>> = shapes.iter().map(|shape| [&[BATCH], &shape[..]].concat()).collect();
        random_inputs_of(self.original.graph(), &shapes, self.seed as i64, Device::Cpu)
    }

    /// Several calls in a row.
    fn compare_at(&self, shapes: &[Vec<i64>], is_exact: bool) -> Result<Beside, Error> {
        let (zeroed, pruned) = self.open()?;
        let inputs = self.samples(shapes)?;
        let mut outputs = Vec::new();
        for call in 0..CALLS {
            let Ok(expected) = zeroed.forward(&inputs) else { return Ok(Beside::NotTaken) };
            let found = pruned.forward(&inputs).map_err(|error| format!("fails: {error}"));
            if let Err(problem) = found.and_then(|found| differs(&found, &expected, is_exact)) {
                return Ok(Beside::Different(Different { call, problem }));
            }
            outputs = expected.iter().map(Tensor::size).collect();
        }
        Ok(Beside::Same { outputs })
    }

    fn failure(&self, shapes: &[Vec<i64>], Different { call, problem }: &Different) -> Error {
        if *call > 0 && !self.original.graph().file().state.is_empty() {
            let detail = format!(
                "The model keeps state between calls, and pruned it would not do the same with it: call {} at inputs of {shapes:?} {problem}.",
                call + 1
            );
            return Rejection::new(Code::UnsupportedModel, detail)
                .hint("Let `forward` take the state as an input and return it.")
                .into();
        }
        Error::internal(format!(
            "our bug: at inputs of {shapes:?} the patched program, called {} times, {problem}",
            call + 1
        ))
    }

    fn compare_methods(&self, model: &Path, inputs: &[Tensor], is_exact: bool) -> Result<Vec<MethodReport>, Error> {
        let (zeroed, pruned) = self.open()?;
        let mut expected: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
        let mut found: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
        let mut reports = Vec::new();
        for method in &self.original.graph().file().methods {
            let name = &method.name;
            let problem = match (
                torch::arguments_of(method, inputs, &expected).map(|inputs| zeroed.call(name, &inputs)),
                torch::arguments_of(method, inputs, &found).map(|inputs| pruned.call(name, &inputs)),
            ) {
                (Some(Ok(right)), Some(Ok(made))) => {
                    let problem = differs(&made, &right, is_exact).err();
                    expected.insert(name.clone(), right);
                    found.insert(name.clone(), made);
                    problem
                }
                (Some(Ok(_)), Some(Err(error))) => Some(format!("fails: {error}")),
                (Some(Ok(_)), None) => Some("needs what another method returned, which failed".to_owned()),
                _ => continue,
            };
            reports.push(MethodReport { name: name.clone(), called: true, problem });
        }
        for name in torch::methods_of(model)? {
            if reports.iter().all(|report| report.name != name) {
                reports.push(MethodReport { name, called: false, problem: None });
            }
        }
        Ok(reports)
    }
}

/// A patched program beside the original, at one size.
enum Beside {
    Same {
        /// Shapes, for [`BATCH`] samples.
        outputs: Vec<Vec<i64>>,
    },
    Different(Different),
    /// The original does not take the size.
    NotTaken,
}

/// A call, counted from zero, of which something else came than from the original.
struct Different {
    call: usize,
    problem: String,
}

/// What the program may do that was not recorded, with parameters that were not cut for it: a sentence, where there is such.
///
/// # Errors
/// The archive cannot be loaded.
pub fn untried_branches(model: &Path, graph: &Graph) -> Result<Option<String>, TorchError> {
    let (unread, left_out) = (unread_parameters(graph), torch::inputs_left_out(model, graph)?);
    if unread.is_empty() || left_out.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "The program was read without {}; what it reads only with them was not cut ({}), and may not fit the rest any more. Give them in \
         `inputs` to have it cut too.",
        left_out.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        unread.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    )))
}

/// Names of the parameters that no node reads: a cache that was filled before the model was saved is read instead, or another branch
/// reads them.
fn unread_parameters(graph: &Graph) -> Vec<String> {
    let read: HashSet<_> = graph.nodes().iter().flat_map(Node::inputs).collect();
    let trained = graph.parameters().iter().filter(|parameter| parameter.kind == ParameterKind::Parameter);
    trained
        .filter(|parameter| !read.contains(&parameter.value))
        .map(|parameter| format!("`{}`", parameter.name))
        .collect()
}

/// What is wrong with outputs, a predicate.
fn differs(found: &[Tensor], expected: &[Tensor], is_exact: bool) -> Result<(), String> {
    let is_alike = found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| a.size() == b.size() && a.kind() == b.kind());
    if !is_alike {
        return Err("has outputs of other shapes or types than the original".to_owned());
    }
    if is_exact && !agree(found, expected) {
        let far =
            difference::between(found, expected).map_err(|error| format!("gives what cannot be compared: {error}"))?;
        return Err(format!(
            "does not compute what the original does without the removed columns: {:e} apart, at most {:e} is rounding",
            far.max_abs_diff, far.tolerance
        ));
    }
    Ok(())
}

fn agree(actual: &[Tensor], expected: &[Tensor]) -> bool {
    difference::between(actual, expected).is_ok_and(difference::is_within_tolerance)
}

/// The size at which the oracle compares graphs, for a file that takes no other.
pub fn recorded_size(cut: &Cut, original: &Graph) -> ProvedSize {
    ProvedSize { shapes: shapes_at_home(original), values: cut.reference.is_none(), outputs: output_shapes(original) }
}

/// As recorded.
fn output_shapes(graph: &Graph) -> Vec<Vec<i64>> {
    let outputs = graph.file().output.tensors().into_iter();
    outputs.map(|output| graph.value(output).shape.iter().map(|size| size.at_batch(BATCH)).collect()).collect()
}

fn shapes_at_home(graph: &Graph) -> Vec<Vec<i64>> {
    let inputs = graph.inputs().iter().map(|&input| graph.value(input));
    inputs.map(|value| value.shape[1..].iter().map(|size| size.fixed).collect()).collect()
}

/// Every open size changed by its step, and by about [`FAR`].
fn other_shapes(graph: &Graph) -> Vec<Vec<Vec<i64>>> {
    let home = shapes_at_home(graph);
    let changed = |far: bool| {
        let mut shapes = home.clone();
        for free in &graph.file().free_sizes {
            let change = match (free.may_grow, far) {
                (true, false) => free.step,
                (true, true) => free.step * (FAR / free.step + 1),
                (false, _) => -free.step,
            };
            for at in &free.dimensions {
                shapes[at.input][at.dimension] += change;
            }
        }
        shapes
    };
    let mut shapes = vec![changed(false), changed(true)];
    shapes.dedup();
    shapes.retain(|shapes| *shapes != home);
    shapes
}

#[cfg(test)]
mod tests {
    use secateur_core::graph::{FreeSize, InputDimension};
    use secateur_core::testing::Net;

    use super::*;

    #[test]
    fn open_sizes_change_by_their_steps_and_by_much() {
        let free = |dimension, size, step, may_grow| FreeSize {
            dimensions: vec![InputDimension { input: 0, dimension }],
            size,
            step,
            may_grow,
        };
        let with = |free_sizes| {
            let mut file = Net::new(&[3, 16, 24]).graph().into_file();
            file.free_sizes = free_sizes;
            other_shapes(&Graph::new(file).unwrap())
        };
        assert_eq!(with(vec![free(1, 16, 8, true), free(2, 24, 1, true)]), [[[3, 24, 25]], [[3, 56, 57]]]);
        assert_eq!(with(vec![free(2, 24, 4, false)]), [[[3, 16, 20]]]);
        assert!(with(Vec::new()).is_empty());
    }
}
