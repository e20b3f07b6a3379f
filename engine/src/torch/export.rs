//! A graph and its tensors as a TorchScript file that stock PyTorch loads.

use std::collections::HashMap;
use std::path::Path;

use secateur_core::graph::{Graph, ValueId};
use tch::Tensor;

use super::{ModuleBuilder, TorchError, source};

/// Writes a TorchScript archive: nested modules with the original names, and `forward` printed from the graph.
///
/// `weights` are one tensor for each of [`Graph::parameters`]; tied ones are written once. `extra` are texts by name that
/// `torch.jit.load(..., _extra_files=...)` finds in the file.
///
/// # Errors
/// When libtorch does not accept the printed code or cannot write the file.
pub fn export(graph: &Graph, weights: &[Tensor], path: &Path, extra: &[(&str, &str)]) -> Result<(), TorchError> {
    assert_eq!(weights.len(), graph.parameters().len(), "the caller has one tensor for each parameter");
    let mut module = ModuleBuilder::new("Pruned")?;
    let mut owners: HashMap<ValueId, &Tensor> = HashMap::new();
    for (parameter, tensor) in graph.parameters().iter().zip(weights) {
        let tensor = *owners.entry(parameter.value).or_insert(tensor);
        module.tensor(&parameter.name, parameter.kind, tensor, parameter.requires_grad)?;
    }
    module.define("", &source::forward(graph))?;
    module.save(path, extra)
}
