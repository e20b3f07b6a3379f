//! The methods beside `forward` that a user may call, such as `encode`.
//!
//! A pruned program keeps them, so what they return must keep its channels. Nothing says what a method is to be given; it gets the
//! inputs of `forward`, and what other methods returned, until it runs. What it does with them is recorded as `forward` is, and the
//! channels that it returns are held in the graph of `forward`.

use std::collections::BTreeMap;

use secateur_core::graph::{Graph, Method, MethodArgument};
use secateur_core::group::held_channels;
use tch::Tensor;

use super::archive::{Archive, BATCHES, DeclaredMethod, Input, samples};
use super::recording::fit;
use super::{Mode, Program, TorchError};

/// Ways to feed one method that are tried.
const MOST_TRIALS: usize = 64;
/// Methods that are tried, in the order of the archive; a program has a few.
const MOST_METHODS: usize = 16;
/// Tensors that a method may need.
const MOST_TENSORS: usize = 3;

/// Something that a method can be given, at both batch sizes.
struct Offer {
    argument: MethodArgument,
    first: Tensor,
    second: Tensor,
}

/// The methods that run on what there is, in the order in which they have to be called.
pub(super) fn record(archive: &Archive, inputs: &[Input]) -> Result<Vec<Method>, TorchError> {
    let mut waiting: Vec<(String, usize)> = archive
        .methods()?
        .into_iter()
        .filter_map(|DeclaredMethod { name, tensors }| Some((name, tensors?)))
        .filter(|&(_, tensors)| (1..=MOST_TENSORS).contains(&tensors))
        .take(MOST_METHODS)
        .collect();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let both = samples(inputs, BATCHES.0)?.into_iter().zip(samples(inputs, BATCHES.1)?);
    let mut offers: Vec<Offer> = both
        .enumerate()
        .map(|(index, (first, second))| Offer { argument: MethodArgument::Input(index), first, second })
        .collect();
    let mut found = Vec::new();
    loop {
        let before = waiting.len();
        let mut left = Vec::new();
        for (name, tensors) in waiting {
            match feed(archive, &name, tensors, &offers) {
                Some((method, returned)) => {
                    found.push(method);
                    offers.extend(returned);
                }
                None => left.push((name, tensors)),
            }
        }
        // What one method returned may be what another needs.
        if left.len() == before || left.is_empty() {
            return Ok(found);
        }
        waiting = left;
    }
}

fn feed(archive: &Archive, name: &str, tensors: usize, offers: &[Offer]) -> Option<(Method, Vec<Offer>)> {
    choices(offers.len(), tensors).take(MOST_TRIALS).find_map(|choice| try_one(archive, name, &choice, offers).ok())
}

/// Every way to choose `count` of `offers`, the inputs of `forward` first.
fn choices(offers: usize, count: usize) -> impl Iterator<Item = Vec<usize>> {
    let ways = offers.checked_pow(count as u32).unwrap_or(usize::MAX);
    (0..ways).map(move |mut way| {
        let mut choice = vec![0; count];
        for place in choice.iter_mut().rev() {
            *place = way % offers;
            way /= offers;
        }
        choice
    })
}

fn try_one(
    archive: &Archive,
    name: &str,
    choice: &[usize],
    offers: &[Offer],
) -> Result<(Method, Vec<Offer>), TorchError> {
    let given = |tensor: fn(&Offer) -> &Tensor| -> Vec<Tensor> {
        choice.iter().map(|&offer| tensor(&offers[offer]).shallow_clone()).collect()
    };
    let (first, second) = (given(|offer| &offer.first), given(|offer| &offer.second));
    let (one, weights) = archive.record_method(name, &first)?;
    let (other, _) = archive.record_method(name, &second)?;
    let fitted = fit(&one, &other, BATCHES)?;
    let graph = Graph::new(fitted.file)?;
    let weights: Vec<Tensor> = fitted.kept.iter().map(|&index| weights[index].shallow_clone()).collect();
    let program = Program::prepare(&graph)?;
    let returned = program.run(&weights, &first, Mode::Evaluate)?.into_iter();
    let returned = returned.zip(program.run(&weights, &second, Mode::Evaluate)?).enumerate();
    let returned = returned.map(|(tensor, (first, second))| Offer {
        argument: MethodArgument::Returned { method: name.to_owned(), tensor },
        first,
        second,
    });
    let arguments = choice.iter().map(|&offer| offers[offer].argument.clone()).collect();
    let method = Method { name: name.to_owned(), arguments, held: held_channels(&graph) };
    Ok((method, returned.collect()))
}

/// What a recorded method is given, when `forward` gets `inputs` and the methods before it returned `returned`.
pub fn arguments_of(
    method: &Method,
    inputs: &[Tensor],
    returned: &BTreeMap<String, Vec<Tensor>>,
) -> Option<Vec<Tensor>> {
    let argument = |argument: &MethodArgument| match argument {
        MethodArgument::Input(index) => inputs.get(*index).map(Tensor::shallow_clone),
        MethodArgument::Returned { method, tensor } => returned.get(method)?.get(*tensor).map(Tensor::shallow_clone),
    };
    method.arguments.iter().map(argument).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_feed_a_method_is_tried_once() {
        assert_eq!(choices(2, 2).collect::<Vec<_>>(), [[0, 0], [0, 1], [1, 0], [1, 1]]);
        assert_eq!(choices(0, 1).count(), 0);
    }
}
