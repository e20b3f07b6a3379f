//! Sequences of classes: what a network reads, and how far that is from a label.

use secateur_core::recovery::Supervision;
use tch::{Device, Kind, Tensor};

use super::{Pair, counts};
use crate::error::Error;

/// How many classes each label of `[N, S]` has in front of its padding, which is the blank or a number that does not count; int64 `[N]`.
pub(super) fn lengths(labels: &Tensor, supervision: &Supervision, blank: i64) -> Result<Tensor, Error> {
    let counts = counts(labels, supervision)?.f_mul(&labels.f_ne(blank)?)?;
    // From the first place that does not count on nothing does.
    Ok(counts.f_cumprod(1, Kind::Float)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?)
}

/// How the sequences that a batch reads compare with their labels.
pub(super) struct Compared {
    /// Sum over the samples of one minus the edit distance over the longer length.
    pub similarity: f64,
    /// Samples without an error.
    pub exact: f64,
}

/// Reads every sequence greedily: the best class of each place, repetitions and blanks left out.
pub(super) fn compare(pair: &Pair, supervision: &Supervision, blank: i64) -> Result<Compared, Error> {
    let best = rows(&pair.answer.f_argmax(1, false)?)?;
    let wanted = rows(&pair.labels)?;
    let lengths = Vec::<i64>::try_from(&lengths(&pair.labels, supervision, blank)?.f_to(Device::Cpu)?)?;
    let mut compared = Compared { similarity: 0.0, exact: 0.0 };
    for ((best, wanted), length) in best.iter().zip(&wanted).zip(lengths) {
        let read = collapsed(best, blank);
        let wanted = &wanted[..length as usize];
        let distance = edit_distance(&read, wanted);
        compared.similarity += 1.0 - distance as f64 / read.len().max(wanted.len()).max(1) as f64;
        compared.exact += f64::from(u8::from(distance == 0));
    }
    Ok(compared)
}

fn rows(numbers: &Tensor) -> Result<Vec<Vec<i64>>, Error> {
    Ok(Vec::<Vec<i64>>::try_from(&numbers.f_to(Device::Cpu)?.f_to_kind(Kind::Int64)?)?)
}

fn collapsed(classes: &[i64], blank: i64) -> Vec<i64> {
    let mut read = Vec::new();
    let mut before = blank;
    for &class in classes {
        if class != before && class != blank {
            read.push(class);
        }
        before = class;
    }
    read
}

/// The fewest insertions, deletions and replacements that make one sequence the other (Levenshtein).
fn edit_distance(a: &[i64], b: &[i64]) -> usize {
    let mut distances: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.iter().enumerate() {
        let mut diagonal = distances[0];
        distances[0] = row + 1;
        for (column, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = distances[column + 1];
            distances[column + 1] = replaced.min(distances[column] + 1).min(diagonal + 1);
        }
    }
    distances[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_blanks_are_left_out() {
        assert_eq!(collapsed(&[0, 1, 1, 0, 1, 2, 2, 0, 0], 0), [1, 1, 2]);
        assert_eq!(collapsed(&[3, 3, 3], 3), [] as [i64; 0]);
    }

    #[test]
    fn the_edit_distance_is_levenshteins() {
        let distance = |a: &str, b: &str| {
            let letters = |text: &str| text.chars().map(|letter| letter as i64).collect::<Vec<_>>();
            edit_distance(&letters(a), &letters(b))
        };
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("flaw", "lawn"), 2);
    }
}
