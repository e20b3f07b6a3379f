//! Which sizes of its inputs, besides the batch, a program leaves open.
//!
//! A dimension is open when the program runs with another size of it. Dimensions of one size that are open only together, such as
//! the length of a text and of its mask, vary together. What has to be added, a power of two, is found by trying.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use secateur_core::graph::{FreeSize, Graph, InputDimension};

use super::TorchError;
use super::archive::{Archive, BATCHES, Input, TensorLimit, inputs_of};
use super::memory::LargeBlocksApart;

/// The largest step that is tried: networks halve an image up to five times.
const LARGEST_STEP: i64 = 32;
/// Dimensions that have not been tried by then count as not open.
const LONGEST: Duration = Duration::from_secs(10);

/// Finds the open sizes of the archive `model`, whose graph is `graph`.
///
/// # Errors
/// The archive cannot be loaded.
pub(super) fn free_sizes(model: &Path, graph: &Graph) -> Result<Vec<FreeSize>, TorchError> {
    let _blocks = LargeBlocksApart::begin();
    let _limit = TensorLimit::begin(model);
    let archive = Archive::load_again(model, graph)?;
    let home = inputs_of(graph);
    let end = Instant::now() + LONGEST;
    let runs = |dimensions: &[InputDimension], by: i64| {
        let mut inputs = inputs_of(graph);
        for at in dimensions {
            inputs[at.input].shape[at.dimension] += by;
        }
        Instant::now() < end && archive.record(&inputs, 1).is_ok()
    };
    Ok(find(&home, runs))
}

/// Names of the parameters that the archive `model`, whose graph is `graph`, reads at inputs of these shapes.
///
/// # Errors
/// The program does not run there.
pub fn parameters_read_at(model: &Path, graph: &Graph, shapes: &[Vec<i64>]) -> Result<HashSet<String>, TorchError> {
    let _limit = TensorLimit::begin(model);
    let mut inputs = inputs_of(graph);
    for (input, shape) in inputs.iter_mut().zip(shapes) {
        input.shape.clone_from(shape);
    }
    Ok(Archive::load_again(model, graph)?.record(&inputs, BATCHES.0)?.0.parameters_read())
}

fn find(home: &[Input], runs: impl Fn(&[InputDimension], i64) -> bool) -> Vec<FreeSize> {
    let all = home.iter().enumerate().flat_map(|(input, home)| {
        home.shape.iter().enumerate().map(move |(dimension, &size)| (InputDimension { input, dimension }, size))
    });
    let mut found = Vec::new();
    let mut closed: Vec<(InputDimension, i64)> = Vec::new();
    for (at, size) in all.filter(|&(_, size)| size > 1) {
        match free(vec![at], size, &runs) {
            Some(free) => found.push(free),
            None => closed.push((at, size)),
        }
    }
    while let Some(&(_, size)) = closed.first() {
        let (together, others): (Vec<_>, Vec<_>) = closed.into_iter().partition(|&(_, other)| other == size);
        if together.len() > 1 {
            found.extend(free(together.into_iter().map(|(at, _)| at).collect(), size, &runs));
        }
        closed = others;
    }
    found
}

fn free(dimensions: Vec<InputDimension>, size: i64, runs: impl Fn(&[InputDimension], i64) -> bool) -> Option<FreeSize> {
    let steps = || (0..).map(|power| 1 << power).take_while(|&step| step <= LARGEST_STEP);
    let grows_by = |step| Some(FreeSize { dimensions: dimensions.clone(), size, step, may_grow: true });
    // Most programs leave a size open altogether, or not at all.
    if runs(&dimensions, 1) {
        return grows_by(1);
    }
    if runs(&dimensions, LARGEST_STEP) {
        return grows_by(steps().skip(1).find(|&step| step == LARGEST_STEP || runs(&dimensions, step))?);
    }
    // A table of positions may end here.
    let half = steps().take_while(|&step| step <= size / 2).last()?;
    if !runs(&dimensions, -half) {
        return None;
    }
    let step = steps().find(|&step| step == half || runs(&dimensions, -step))?;
    Some(FreeSize { dimensions, size, step, may_grow: false })
}

#[cfg(test)]
mod tests {
    use secateur_core::graph::DType;

    use super::*;

    fn inputs(shapes: &[&[i64]]) -> Vec<Input> {
        let input = |shape: &&[i64]| Input { shape: shape.to_vec(), dtype: DType::Float32, max: None };
        shapes.iter().map(input).collect()
    }

    fn at(input: usize, dimension: usize) -> InputDimension {
        InputDimension { input, dimension }
    }

    #[test]
    fn height_and_width_are_open_one_by_one_in_steps() {
        let home = inputs(&[&[3, 64, 48]]);
        let runs = |dimensions: &[InputDimension], by: i64| match dimensions {
            [at] if at.dimension > 0 => by % 8 == 0,
            _ => false,
        };
        let size = |dimension, size| FreeSize { dimensions: vec![at(0, dimension)], size, step: 8, may_grow: true };
        assert_eq!(find(&home, runs), [size(1, 64), size(2, 48)]);
    }

    #[test]
    fn a_text_and_its_mask_get_shorter_together() {
        let home = inputs(&[&[16], &[16], &[3]]);
        let runs = |dimensions: &[InputDimension], by: i64| dimensions == [at(0, 0), at(1, 0)] && by < 0;
        let together = FreeSize { dimensions: vec![at(0, 0), at(1, 0)], size: 16, step: 1, may_grow: false };
        assert_eq!(find(&home, runs), [together]);
    }

    #[test]
    fn what_runs_at_one_size_only_is_closed() {
        assert!(find(&inputs(&[&[3, 32, 32]]), |_, _| false).is_empty());
    }
}
