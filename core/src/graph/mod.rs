//! The one intermediate representation: a DAG of ATen calls with literal arguments.
//!
//! The engine's importer makes a [`GraphFile`] (the wire form, JSON) from a TorchScript archive;
//! [`Graph::new`] checks it and knows who produces each value. Node order is program order: running the nodes in order of
//! their index is always right, in-place operators included, because the importer makes every write a new value, through
//! which all that shares the written memory is read from then on, or refuses the program. Sizes are affine in the batch (see [`Size`]); everything else that the program
//! computes about shapes is a literal by the time a graph exists.
//!
//! A graph owns no tensors: weights travel beside it as safetensors, by parameter name.

mod check;
mod file;
mod segment;

pub use check::GraphError;
pub use file::{
    Argument, DType, FORMAT, FreeSize, GivenNumber, GraphFile, HeldChannels, InputDimension, Literal, Method,
    MethodArgument, Node, Output, Parameter, ParameterKind, Size, Value, ValueId,
};

pub use segment::Segment;

use std::collections::HashMap;

/// A checked graph. Shapes and names are valid, every value is produced once and before it is read.
#[derive(Debug, Clone)]
pub struct Graph {
    file: GraphFile,
    producer: Vec<Producer>,
    parameter_by_name: HashMap<String, usize>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Producer {
    /// The n-th input of the model.
    Input(usize),
    /// The n-th entry of [`Graph::parameters`].
    Parameter(usize),
    /// The n-th entry of [`Graph::nodes`], and which of its outputs.
    Node {
        /// The node's index.
        node: usize,
        /// Which of its outputs.
        output: usize,
    },
}

impl Graph {
    /// Checks a wire graph and indexes it.
    ///
    /// # Errors
    /// [`GraphError`] names the first node, value or parameter that breaks a rule.
    pub fn new(file: GraphFile) -> Result<Self, GraphError> {
        let producer = check::producers(&file)?;
        let mut parameter_by_name = HashMap::with_capacity(file.parameters.len());
        for (index, parameter) in file.parameters.iter().enumerate() {
            if parameter_by_name.insert(parameter.name.clone(), index).is_some() {
                return Err(GraphError::DuplicateParameter(parameter.name.clone()));
            }
        }
        Ok(Self { file, producer, parameter_by_name })
    }

    /// Reads the JSON wire form.
    ///
    /// # Errors
    /// [`GraphError::Json`] for text that is no graph at all, else as [`Graph::new`].
    pub fn from_json(json: &str) -> Result<Self, GraphError> {
        Self::new(serde_json::from_str(json).map_err(|error| GraphError::Json(error.to_string()))?)
    }

    /// The JSON wire form, format version included.
    ///
    /// # Panics
    /// Never: a graph has names for keys and finite numbers only.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.file).expect("a graph has string keys and finite numbers only")
    }

    /// The wire form.
    pub fn file(&self) -> &GraphFile {
        &self.file
    }

    /// The wire form, to be edited and checked again.
    pub fn into_file(self) -> GraphFile {
        self.file
    }

    /// Nodes in program order.
    pub fn nodes(&self) -> &[Node] {
        &self.file.nodes
    }

    /// Every tensor, by [`ValueId`].
    pub fn values(&self) -> &[Value] {
        &self.file.values
    }

    /// The shape and dtype of a value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.file.values[id.index()]
    }

    /// The model's inputs in calling order.
    pub fn inputs(&self) -> &[ValueId] {
        &self.file.inputs
    }

    /// Parameters, buffers and constants in `state_dict` order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.file.parameters
    }

    /// The parameter, buffer or constant of this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameter_by_name.get(name).map(|&index| &self.file.parameters[index])
    }

    /// Where a value comes from.
    pub fn producer(&self, id: ValueId) -> Producer {
        self.producer[id.index()]
    }

    /// The parameter behind a value, when the value is one.
    pub fn as_parameter(&self, id: ValueId) -> Option<&Parameter> {
        match self.producer(id) {
            Producer::Parameter(index) => Some(&self.file.parameters[index]),
            Producer::Input(_) | Producer::Node { .. } => None,
        }
    }

    /// Whether a node reads a value or the model returns it.
    pub fn is_read(&self, id: ValueId) -> bool {
        self.nodes().iter().any(|node| node.inputs().contains(&id)) || self.output().tensors().contains(&id)
    }

    /// What the model returns.
    pub fn output(&self) -> &Output {
        &self.file.output
    }
}
