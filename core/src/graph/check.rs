//! The rules that a wire graph must meet before anything else reads it.

use std::collections::HashSet;

use super::Producer;
use super::file::{FORMAT, GraphFile, ValueId};

/// Why a wire graph is not a graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The file has a format that this program does not read.
    #[error("graph.json has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// The text is no graph in JSON.
    #[error("graph.json is not valid: {0}")]
    Json(String),
    /// Something refers to a value that does not exist.
    #[error("{place} refers to value {}, but there are only {count} values", value.0)]
    UnknownValue {
        /// What refers to it.
        place: String,
        /// The value.
        value: ValueId,
        /// How many values there are.
        count: usize,
    },
    /// Two producers have the same value.
    #[error("value {} is produced twice, the second time by {place}", value.0)]
    ProducedTwice {
        /// The second producer.
        place: String,
        /// The value.
        value: ValueId,
    },
    /// A node reads a value of a later node, or its own.
    #[error("{place} reads value {} before it is produced", value.0)]
    ReadBeforeProduced {
        /// What reads it.
        place: String,
        /// The value.
        value: ValueId,
    },
    /// A value has no producer.
    #[error("value {} is never produced", .0.0)]
    NeverProduced(ValueId),
    /// Two nodes have one name.
    #[error("two nodes are named `{0}`")]
    DuplicateNode(String),
    /// Two parameters have one name.
    #[error("two parameters are named `{0}`")]
    DuplicateParameter(String),
    /// A parameter is tied to one that does not come before it with the same value.
    #[error("parameter `{name}` is tied to `{tied_to}`, which does not come before it with the same value")]
    BrokenTie {
        /// The parameter's name.
        name: String,
        /// The name that it gives.
        tied_to: String,
    },
}

/// The producer of every value, found while checking the rules.
pub(super) fn producers(file: &GraphFile) -> Result<Vec<Producer>, GraphError> {
    if file.format != FORMAT {
        return Err(GraphError::Format(file.format));
    }
    let mut producers: Vec<Option<Producer>> = vec![None; file.values.len()];
    let mut produce = |value: ValueId, producer: Producer, place: &dyn Fn() -> String| {
        let count = file.values.len();
        let slot = producers.get_mut(value.index()).ok_or_else(|| GraphError::UnknownValue {
            place: place(),
            value,
            count,
        })?;
        match slot.replace(producer) {
            None => Ok(()),
            Some(_) => Err(GraphError::ProducedTwice { place: place(), value }),
        }
    };

    for (index, &value) in file.inputs.iter().enumerate() {
        produce(value, Producer::Input(index), &|| format!("input {index}"))?;
    }
    for (index, parameter) in file.parameters.iter().enumerate() {
        match &parameter.tied_to {
            None => {
                produce(parameter.value, Producer::Parameter(index), &|| format!("parameter `{}`", parameter.name))?;
            }
            Some(tied_to) => {
                let original = file.parameters[..index].iter().find(|other| &other.name == tied_to);
                if original.is_none_or(|original| original.value != parameter.value) {
                    return Err(GraphError::BrokenTie { name: parameter.name.clone(), tied_to: tied_to.clone() });
                }
            }
        }
    }
    for (node, entry) in file.nodes.iter().enumerate() {
        for (output, &value) in entry.outputs.iter().enumerate() {
            produce(value, Producer::Node { node, output }, &|| format!("node `{}`", entry.name))?;
        }
    }

    let producers: Vec<Producer> = producers
        .into_iter()
        .enumerate()
        .map(|(index, producer)| producer.ok_or(GraphError::NeverProduced(ValueId(index as u32))))
        .collect::<Result<_, _>>()?;

    let mut names = HashSet::with_capacity(file.nodes.len());
    for (index, node) in file.nodes.iter().enumerate() {
        if !names.insert(node.name.as_str()) {
            return Err(GraphError::DuplicateNode(node.name.clone()));
        }
        for value in node.inputs() {
            read(&producers, value, index, || format!("node `{}`", node.name))?;
        }
    }
    for value in file.output.tensors() {
        read(&producers, value, file.nodes.len(), || "the output".to_owned())?;
    }
    Ok(producers)
}

fn read(producers: &[Producer], value: ValueId, at: usize, place: impl Fn() -> String) -> Result<(), GraphError> {
    match producers.get(value.index()) {
        None => Err(GraphError::UnknownValue { place: place(), value, count: producers.len() }),
        Some(Producer::Node { node, .. }) if *node >= at => {
            Err(GraphError::ReadBeforeProduced { place: place(), value })
        }
        Some(_) => Ok(()),
    }
}
