//! A model of a Triton model repository: whether Triton's backend for PyTorch can call a network, and the `config.pbtxt` that says how.
//!
//! The backend knows inputs and outputs by their place (`INPUT__0`, `OUTPUT__0`), and with batching every one of them begins with the
//! batch. Source: the documentation of Triton's PyTorch backend and `model_config.proto` of its common repository.

use std::fmt::Write;

use crate::graph::{DType, Graph, Output, Size, ValueId};
use crate::rejection::{Code, Rejection};
use crate::report::SizesReport;
use crate::spec::TritonSpec;

/// What Triton calls a type of element; `None` for one that the backend does not take.
fn type_of(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::Float32 => Some("TYPE_FP32"),
        DType::Float64 => Some("TYPE_FP64"),
        DType::Float16 => Some("TYPE_FP16"),
        DType::Int64 => Some("TYPE_INT64"),
        DType::Int32 => Some("TYPE_INT32"),
        DType::Int16 => Some("TYPE_INT16"),
        DType::Int8 => Some("TYPE_INT8"),
        DType::Uint8 => Some("TYPE_UINT8"),
        DType::Bool => Some("TYPE_BOOL"),
        DType::Bfloat16 => None,
    }
}

/// Refuses a network that the backend cannot call, or cannot call with several requests at once.
///
/// # Errors
/// [`Code::UnsupportedModel`] that says why, for the spec's field `triton`.
pub fn check(graph: &Graph) -> Result<(), Rejection> {
    let refused = |why: String| {
        let hint = "Leave `triton` out of the spec.";
        Err(Rejection::new(Code::UnsupportedModel, format!("Triton cannot serve this model: {why}."))
            .at("triton")
            .hint(hint))
    };
    let file = graph.file();
    if let Some(number) = file.numbers.first() {
        return refused(format!("its input {} takes a number, and Triton gives tensors", number.input));
    }
    if !file.state.is_empty() {
        return refused(
            "it keeps something in its attributes from one call to the next, and Triton puts requests of several clients together"
                .to_owned(),
        );
    }
    let Some(outputs) = flat(&file.output) else {
        return refused("it returns no tensor, tuple of tensors or list of tensors".to_owned());
    };
    let inputs = graph.inputs().iter().map(|&value| ("input", value));
    let numbered = inputs.enumerate().chain(outputs.into_iter().map(|value| ("output", value)).enumerate());
    for (index, (what, id)) in numbered {
        let value = graph.value(id);
        if type_of(value.dtype).is_none() {
            return refused(format!("{what} {index} is `{}`", value.dtype.as_str()));
        }
        if value.shape.first() != Some(&Size::BATCH) {
            return refused(format!("{what} {index} does not begin with the batch"));
        }
    }
    Ok(())
}

/// The tensors of a structure without levels.
fn flat(output: &Output) -> Option<Vec<ValueId>> {
    match output {
        Output::Tensor(value) => Some(vec![*value]),
        Output::Tuple(parts) | Output::List(parts) if !parts.is_empty() => {
            let tensor = |part: &Output| if let Output::Tensor(value) = part { Some(*value) } else { None };
            parts.iter().map(tensor).collect()
        }
        Output::Tuple(_) | Output::List(_) | Output::Dict(_) | Output::None => None,
    }
}

/// `config.pbtxt` of a pruned file of a network that [`check`] lets pass: -1 for a size of which several were compared with the original's.
pub fn config(settings: &TritonSpec, graph: &Graph, sizes: &SizesReport) -> String {
    let inputs = graph.inputs().iter().zip(&sizes.inputs).enumerate().map(|(index, (&value, input))| {
        let dims = dims(&input.shape, &input.varying);
        variable(&format!("INPUT__{index}"), graph.value(value).dtype, &dims)
    });
    let outputs = sizes.outputs.iter().enumerate().map(|(index, output)| {
        let dims = dims(output.shape.get(1..).unwrap_or_default(), &output.varying);
        variable(&format!("OUTPUT__{index}"), output.dtype, &dims)
    });
    let (inputs, outputs) = (inputs.collect::<Vec<_>>().join(","), outputs.collect::<Vec<_>>().join(","));
    let mut text = String::new();
    let _ = write!(
        text,
        "name: \"{}\"\nbackend: \"pytorch\"\nplatform: \"pytorch_libtorch\"\nmax_batch_size: {}\ndynamic_batching {{ }}\n\
         input [{inputs}\n]\noutput [{outputs}\n]\n",
        settings.name, settings.max_batch_size
    );
    text
}

/// The sizes of one sample; `varying` counts the batch too.
fn dims(sample: &[i64], varying: &[usize]) -> Vec<i64> {
    sample.iter().zip(1..).map(|(&size, at)| if varying.contains(&at) { -1 } else { size }).collect()
}

/// An input or an output. One number for each sample has no dimensions, which Triton writes with one.
fn variable(name: &str, dtype: DType, dims: &[i64]) -> String {
    let data_type = type_of(dtype).unwrap_or("TYPE_INVALID");
    let shape = if dims.is_empty() { "dims: [1] reshape: { shape: [] }".to_owned() } else { format!("dims: {dims:?}") };
    format!("\n  {{ name: \"{name}\" data_type: {data_type} {shape} }}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GivenNumber;
    use crate::report::ProvedSize;
    use crate::testing::Net;

    fn classifier() -> Graph {
        let mut net = Net::new(&[3, 16, 16]);
        net.conv("conv", 8, 3, 1).flatten().linear("fc", 10);
        net.graph()
    }

    #[test]
    fn sizes_that_were_compared_are_free_and_a_number_for_each_sample_has_no_dimensions() {
        let graph = classifier();
        let settings = TritonSpec { name: "digits".to_owned(), max_batch_size: 8 };
        let proved =
            |side, outputs: Vec<Vec<i64>>| ProvedSize { shapes: vec![vec![3, side, 16]], values: true, outputs };
        let sizes = SizesReport::of(&graph, vec![proved(16, vec![vec![2, 10]]), proved(24, vec![vec![2, 10]])]);
        assert_eq!(
            config(&settings, &graph, &sizes),
            "name: \"digits\"\nbackend: \"pytorch\"\nplatform: \"pytorch_libtorch\"\nmax_batch_size: 8\n\
             dynamic_batching { }\n\
             input [\n  { name: \"INPUT__0\" data_type: TYPE_FP32 dims: [3, -1, 16] }\n]\n\
             output [\n  { name: \"OUTPUT__0\" data_type: TYPE_FP32 dims: [10] }\n]\n"
        );
        assert!(variable("OUTPUT__0", DType::Int64, &[]).contains("TYPE_INT64 dims: [1] reshape: { shape: [] }"));
    }

    #[test]
    fn what_triton_cannot_call_is_refused_with_the_reason() {
        let refused = |change: fn(&mut crate::graph::GraphFile)| {
            let mut file = classifier().into_file();
            change(&mut file);
            check(&Graph::new(file).unwrap()).unwrap_err()
        };
        assert_eq!(check(&classifier()), Ok(()));
        let dict = refused(|file| file.output = Output::Dict(vec![("out".to_owned(), file.output.clone())]));
        assert_eq!((dict.code, dict.node.as_deref()), (Code::UnsupportedModel, Some("triton")));
        assert!(dict.detail.contains("no tensor, tuple of tensors or list of tensors"), "{}", dict.detail);
        let nested = refused(|file| file.output = Output::List(vec![Output::Tuple(vec![file.output.clone()])]));
        assert!(nested.detail.contains("returns no tensor"), "{}", nested.detail);
        let number = refused(|file| file.numbers.push(GivenNumber { input: 1, value: 16e3 }));
        assert!(number.detail.contains("its input 1 takes a number"), "{}", number.detail);
        let state = refused(|file| file.state = file.inputs.clone());
        assert!(state.detail.contains("from one call to the next"), "{}", state.detail);
        let fixed = refused(|file| {
            let Output::Tensor(output) = file.output else { panic!("the classifier returns a tensor") };
            file.values[output.index()].shape[0] = Size::fixed(4);
        });
        assert!(fixed.detail.contains("output 0 does not begin with the batch"), "{}", fixed.detail);
        let half = refused(|file| file.values[file.inputs[0].index()].dtype = DType::Bfloat16);
        assert!(half.detail.contains("input 0 is `bfloat16`"), "{}", half.detail);
    }
}
