//! How the pruned file came about: the user's own program with smaller tensors, or a recording of one run of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::graph::{DType, Graph};
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
    /// Shapes of the outputs, for a batch of two.
    #[serde(default)]
    pub outputs: Vec<Vec<i64>>,
}

/// An input of `forward`, and which of its sizes a caller may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputSizes {
    /// What `forward` calls it; `null` where that is not known.
    #[serde(default)]
    pub name: Option<String>,
    /// Type of its elements, by its PyTorch name; `null` in reports of earlier versions.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub dtype: Option<DType>,
    /// The shape of one sample that the model was pruned at, without the batch.
    pub shape: Vec<i64>,
    /// Dimensions of the tensor in which the sizes that were tried differ; 0 is the batch.
    pub varying: Vec<usize>,
}

/// A tensor that `forward` returns, and which of its sizes change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputSizes {
    /// Type of its elements, by its PyTorch name.
    #[schema(value_type = String)]
    pub dtype: DType,
    /// The shape of the whole tensor for a batch of one, at the sizes that the model was pruned at.
    pub shape: Vec<i64>,
    /// Its dimensions that have another size for another batch, or at another size of input that was tried.
    pub varying: Vec<usize>,
}

/// The sizes of input that the pruned file takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SizesReport {
    /// The inputs, in the order of `forward`.
    pub inputs: Vec<InputSizes>,
    /// The tensors that `forward` returns, in reading order.
    #[serde(default)]
    pub outputs: Vec<OutputSizes>,
    /// The sizes at which the file was compared with the original: that of `inputs`, then the other ones that both take.
    pub proved: Vec<ProvedSize>,
}

impl SizesReport {
    /// What follows from the sizes at which the file of a network was compared, the one that the model was pruned at first.
    pub fn of(graph: &Graph, proved: Vec<ProvedSize>) -> Self {
        let file = graph.file();
        let home = proved.first().map(|proved| proved.shapes.as_slice()).unwrap_or_default();
        let differs = |input: usize, at: usize| proved.iter().any(|size| size.shapes[input][at] != home[input][at]);
        let inputs = home.iter().enumerate().map(|(input, shape)| InputSizes {
            name: file.input_names.get(input).cloned(),
            dtype: graph.inputs().get(input).map(|&value| graph.value(value).dtype),
            shape: shape.clone(),
            varying: std::iter::once(0)
                .chain((0..shape.len()).filter(|&at| differs(input, at)).map(|at| at + 1))
                .collect(),
        });
        let outputs = file.output.tensors().into_iter().enumerate().map(|(output, id)| {
            let value = graph.value(id);
            let sizes: Vec<Option<&Vec<i64>>> = proved.iter().map(|size| size.outputs.get(output)).collect();
            let differs = |at: usize| {
                sizes.windows(2).any(|two| two[0].map(|shape| shape.get(at)) != two[1].map(|shape| shape.get(at)))
            };
            OutputSizes {
                dtype: value.dtype,
                shape: value.shape.iter().map(|size| size.at_batch(1)).collect(),
                varying: (0..value.shape.len()).filter(|&at| value.shape[at].per_sample != 0 || differs(at)).collect(),
            }
        });
        let outputs = outputs.collect();
        Self { inputs: inputs.collect(), outputs, proved }
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
    use crate::graph::{Size, Value, ValueId};
    use crate::testing::Net;

    #[test]
    fn sizes_vary_where_the_tried_ones_differ() {
        let at = |side| ProvedSize {
            shapes: vec![vec![3, side, 8], vec![7]],
            values: true,
            outputs: vec![vec![2, 4, side, 8]],
        };
        let mut net = Net::new(&[3, 16, 8]);
        net.conv("conv", 4, 3, 1);
        let mut file = net.graph().into_file();
        let second = Value { shape: vec![Size::BATCH, Size::fixed(7)], dtype: DType::Int64, max: None };
        file.inputs.push(ValueId(file.values.len() as u32));
        file.values.push(second);
        let graph = Graph::new(file).unwrap();
        let varying = |sizes: &SizesReport| sizes.inputs.iter().map(|input| input.varying.clone()).collect::<Vec<_>>();

        let sizes = SizesReport::of(&graph, vec![at(16), at(24)]);
        assert_eq!(varying(&sizes), [vec![0, 2], vec![0]]);
        let types: Vec<_> = sizes.inputs.iter().map(|input| input.dtype).collect();
        assert_eq!(types, [Some(DType::Float32), Some(DType::Int64)]);
        assert_eq!((&sizes.outputs[0].varying, &sizes.outputs[0].shape), (&vec![0, 2], &vec![1, 4, 16, 8]));
        let sizes = SizesReport::of(&graph, vec![at(16)]);
        assert_eq!((varying(&sizes), &sizes.outputs[0].varying), (vec![vec![0], vec![0]], &vec![0]));
    }
}
