//! How the pruned file came about: the user's own program with smaller tensors, or a recording of one run of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::inspection::ExportKind;

/// A place of the program's source text that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgramEdit {
    /// The module whose method it is in, empty for the root.
    pub module: String,
    /// The operator that reads it, `aten::view`.
    pub operator: String,
    /// The argument of the operator.
    pub argument: String,
    /// The text before.
    pub before: String,
    /// The text after.
    pub after: String,
}

/// A size of input that the file was compared at with the original, before any fine-tuning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvedSize {
    /// Shapes of one sample of each input.
    pub shapes: Vec<Vec<i64>>,
    /// Whether it computed what the original program does with the removed input columns at zero; `false` where a normalisation over
    /// cut channels, or rounding, leaves only shapes and types to compare.
    pub values: bool,
}

/// An input of `forward`, and which of its sizes a caller may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputSizes {
    /// The shape of one sample that the model was pruned at, without the batch.
    pub shape: Vec<i64>,
    /// Dimensions of the tensor in which the sizes that were tried differ; 0 is the batch.
    pub varying: Vec<usize>,
}

/// The sizes of input that the pruned file takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SizesReport {
    /// The inputs, in the order of `forward`.
    pub inputs: Vec<InputSizes>,
    /// The sizes at which the file was compared with the original: that of `inputs`, then the other ones that both take.
    pub proved: Vec<ProvedSize>,
}

impl SizesReport {
    /// What follows from the sizes at which the file was compared, the one that the model was pruned at first.
    pub fn of(proved: Vec<ProvedSize>) -> Self {
        let home = proved.first().map(|proved| proved.shapes.as_slice()).unwrap_or_default();
        let differs = |input: usize, at: usize| proved.iter().any(|size| size.shapes[input][at] != home[input][at]);
        let inputs = home.iter().enumerate().map(|(input, shape)| InputSizes {
            shape: shape.clone(),
            varying: std::iter::once(0)
                .chain((0..shape.len()).filter(|&at| differs(input, at)).map(|at| at + 1))
                .collect(),
        });
        Self { inputs: inputs.collect(), proved }
    }
}

/// A method beside `forward`, compared as [`ProvedSize`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MethodReport {
    /// Its name.
    pub name: String,
    /// Whether it was called; `false` where the inputs of `forward` and what other methods return are not what it takes.
    pub called: bool,
    /// What is wrong with it now, a predicate; `null` when nothing is.
    #[serde(default)]
    pub problem: Option<String>,
}

/// How the pruned file was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportReport {
    /// Which way.
    pub kind: ExportKind,
    /// Why the program could not be patched; `null` when it was.
    #[serde(default)]
    pub reason: Option<String>,
    /// Every change of the source text; `diff` of the two archives' `code/` shows these, and copies of classes of which only
    /// some instances changed.
    #[serde(default)]
    pub edits: Vec<ProgramEdit>,
    /// The methods beside `forward` that the patched program has.
    #[serde(default)]
    pub methods: Vec<MethodReport>,
    /// What the program has lost, one sentence each.
    #[serde(default)]
    pub lost: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_vary_where_the_tried_ones_differ() {
        let at = |side| ProvedSize { shapes: vec![vec![3, side, 8], vec![7]], values: true };
        let varying =
            |proved| SizesReport::of(proved).inputs.into_iter().map(|input| input.varying).collect::<Vec<_>>();
        assert_eq!(varying(vec![at(16), at(24)]), [vec![0, 2], vec![0]]);
        assert_eq!(varying(vec![at(16)]), [[0], [0]]);
    }
}
