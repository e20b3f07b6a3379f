//! Runs a graph: operators are looked up and literals converted once, then every run is a list of boxed calls.

use secateur_core::graph::{Argument, Graph, Literal, Node, Size, ValueId};
use tch::Tensor;

use super::TorchError;
use super::bridge::{all_borrowed, all_owned, ffi};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As recorded.
    Evaluate,
    /// Dropout drops: the flags `training` and `train` that were recorded false are true. Those of norms that keep running statistics
    /// (`training`, `use_input_stats`) are so where batch statistics are asked for.
    Train(Training),
}

/// How a network runs while it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Training {
    pub precision: Precision,
    pub statistics: Statistics,
}

impl Training {
    /// With batch statistics and in the type of the weights.
    pub const USUAL: Self = Self { precision: Precision::Float32, statistics: Statistics::OfBatch };
}

/// What a norm that keeps running statistics normalises by while a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the batch, which also move the running ones.
    OfBatch,
    /// The running ones, which stay as they are.
    Running,
}

/// The type that convolutions and matrix products are computed in while a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// That of the weights.
    Float32,
    /// What PyTorch's autocast makes of it; weights and gradients stay what they are.
    Bfloat16,
}

/// A graph that is ready to run, without its weights.
pub struct Program(cxx::UniquePtr<ffi::Program>);

// SAFETY: the C++ object is not tied to a thread, and a run changes nothing in it (`Program::run` is const).
unsafe impl Send for Program {}

impl Program {
    /// # Errors
    /// When libtorch lacks an operator of the graph or its arguments do not match the schema.
    pub fn prepare(graph: &Graph) -> Result<Self, TorchError> {
        let mut program = Self(ffi::new_program(graph.values().len()));
        for &input in graph.inputs() {
            program.0.pin_mut().input(input.0);
        }
        for parameter in graph.parameters() {
            program.0.pin_mut().weight(parameter.value.0);
        }
        for node in graph.nodes() {
            program.add(node)?;
        }
        program.0.pin_mut().finish(&value_numbers(&graph.output().tensors()))?;
        Ok(program)
    }

    /// Runs the graph on the device and batch of the first input. `weights` are one tensor for each of
    /// [`Graph::parameters`]; the result is the tensors of [`Graph::output`] in reading order. Gradients are recorded when
    /// the thread's grad mode is on.
    ///
    /// # Errors
    /// The message of the operator that fails, with the name of its node.
    pub fn run(&self, weights: &[Tensor], inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>, TorchError> {
        let (weights, inputs) = (all_borrowed(weights), all_borrowed(inputs));
        let outputs = match mode {
            Mode::Evaluate => self.0.run(&weights, &inputs, false, false, false),
            Mode::Train(Training { precision, statistics }) => {
                self.0.run(&weights, &inputs, true, statistics == Statistics::OfBatch, precision == Precision::Bfloat16)
            }
        };
        Ok(all_owned(outputs?))
    }

    /// Runs in evaluation mode and gives the wall time of each of [`Graph::nodes`], seconds. Each node's time holds all
    /// that the interpreter does for it; on a GPU its queue is emptied after every node.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn time(&self, weights: &[Tensor], inputs: &[Tensor]) -> Result<Vec<f64>, TorchError> {
        Ok(self.0.time(&all_borrowed(weights), &all_borrowed(inputs))?)
    }

    fn add(&mut self, node: &Node) -> Result<(), TorchError> {
        self.0.pin_mut().node(&node.name, &node.op, &node.overload)?;
        for argument in &node.args {
            self.add_argument(argument)?;
        }
        Ok(self.0.pin_mut().outputs(&value_numbers(&node.outputs), node.list)?)
    }

    fn add_argument(&mut self, argument: &Argument) -> Result<(), TorchError> {
        let program = self.0.pin_mut();
        match &argument.value {
            Literal::Tensor(value) => program.tensor(value.0.into()),
            Literal::Tensors(values) => {
                let values: Vec<i64> = values.iter().map(|value| value.map_or(-1, |value| value.0.into())).collect();
                program.tensors(&values)
            }
            Literal::None => program.none(),
            Literal::Bool(value) => program.boolean(*value),
            Literal::Int(size) => program.size(size.per_sample, size.fixed),
            Literal::Float(value) => program.number(*value),
            Literal::Str(text) => program.string(text),
            Literal::Ints(sizes) => {
                let pairs: Vec<i64> =
                    sizes.iter().flat_map(|&Size { per_sample, fixed }| [per_sample, fixed]).collect();
                program.sizes(&pairs)
            }
            Literal::Floats(values) => program.floats(values),
            Literal::Bools(values) => program.bools(values),
            Literal::Device(_) => program.device(),
        }?;
        Ok(())
    }
}

fn value_numbers(values: &[ValueId]) -> Vec<u32> {
    values.iter().map(|value| value.0).collect()
}
