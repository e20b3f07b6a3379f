//! Runs a graph: operators are looked up and literals converted once, then every run is a list of boxed calls.

use std::ffi::CStr;

use secateur_core::graph::{Argument, Graph, Literal, Node, Size, ValueId};
use tch::Tensor;

use super::TorchError;
use super::ffi::{self, c_string, check, pointers};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As recorded.
    Evaluate,
    /// The flags `training`, `train` and `use_input_stats` that were recorded false are true: batch norm uses and updates
    /// batch statistics, dropout drops.
    Train,
}

/// A graph that is ready to run, without its weights.
pub struct Program {
    raw: *mut ffi::Program,
    nodes: usize,
}

// SAFETY: the C++ object is not tied to a thread, and a run changes nothing in it (`secateur_program_run` takes it const).
unsafe impl Send for Program {}

impl Program {
    /// # Errors
    /// When libtorch lacks an operator of the graph or its arguments do not match the schema.
    pub fn prepare(graph: &Graph) -> Result<Self, TorchError> {
        // SAFETY: takes a value only.
        let raw = unsafe { ffi::secateur_program_new(graph.values().len()) };
        let program = Self { raw, nodes: graph.nodes().len() };
        for &input in graph.inputs() {
            // SAFETY: `raw` is alive.
            unsafe { ffi::secateur_program_input(program.raw, input.0) };
        }
        for parameter in graph.parameters() {
            // SAFETY: `raw` is alive.
            unsafe { ffi::secateur_program_weight(program.raw, parameter.value.0) };
        }
        for node in graph.nodes() {
            program.add(node)?;
        }
        let outputs = value_numbers(&graph.output().tensors());
        // SAFETY: `raw` and `outputs` outlive the call.
        check(unsafe { ffi::secateur_program_finish(program.raw, outputs.as_ptr(), outputs.len()) })?;
        Ok(program)
    }

    /// Runs the graph on the device and batch of the first input. `weights` are one tensor for each of
    /// [`Graph::parameters`]; the result is the tensors of [`Graph::output`] in reading order. Gradients are recorded when
    /// the thread's grad mode is on.
    ///
    /// # Errors
    /// The message of the operator that fails, with the name of its node.
    pub fn run(&self, weights: &[Tensor], inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>, TorchError> {
        let weights = pointers(weights);
        let inputs = pointers(inputs);
        // SAFETY: `raw`, the pointers and the tensors behind them outlive the call.
        ffi::tensors(|result| unsafe {
            ffi::secateur_program_run(
                self.raw,
                weights.as_ptr(),
                weights.len(),
                inputs.as_ptr(),
                inputs.len(),
                mode == Mode::Train,
                result,
            )
        })
    }

    /// Runs in evaluation mode and gives the wall time of each of [`Graph::nodes`], seconds. Each node's time holds all
    /// that the interpreter does for it; on a GPU its queue is emptied after every node.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn time(&self, weights: &[Tensor], inputs: &[Tensor]) -> Result<Vec<f64>, TorchError> {
        let weights = pointers(weights);
        let inputs = pointers(inputs);
        let mut seconds = vec![0.0; self.nodes];
        // SAFETY: `raw`, the pointers and the tensors behind them outlive the call, which writes `nodes` numbers.
        check(unsafe {
            ffi::secateur_program_time(
                self.raw,
                weights.as_ptr(),
                weights.len(),
                inputs.as_ptr(),
                inputs.len(),
                seconds.as_mut_ptr(),
                seconds.len(),
            )
        })?;
        Ok(seconds)
    }

    fn add(&self, node: &Node) -> Result<(), TorchError> {
        let (name, op, overload) = (c_string(&node.name)?, c_string(&node.op)?, c_string(&node.overload)?);
        self.start_node(&name, &op, &overload)?;
        for argument in &node.args {
            self.add_argument(argument)?;
        }
        let outputs = value_numbers(&node.outputs);
        // SAFETY: `raw` and `outputs` outlive the call.
        check(unsafe { ffi::secateur_program_outputs(self.raw, outputs.as_ptr(), outputs.len(), node.list) })
    }

    fn start_node(&self, name: &CStr, op: &CStr, overload: &CStr) -> Result<(), TorchError> {
        // SAFETY: `raw` and the strings outlive the call.
        check(unsafe { ffi::secateur_program_node(self.raw, name.as_ptr(), op.as_ptr(), overload.as_ptr()) })
    }

    fn add_argument(&self, argument: &Argument) -> Result<(), TorchError> {
        let raw = self.raw;
        // SAFETY: `raw` and what is pointed to outlive the one call that is made; lengths are those of the slices.
        let failure = unsafe {
            match &argument.value {
                Literal::Tensor(value) => ffi::secateur_program_tensor(raw, value.0.into()),
                Literal::Tensors(values) => {
                    let values: Vec<i64> =
                        values.iter().map(|value| value.map_or(-1, |value| value.0.into())).collect();
                    ffi::secateur_program_tensors(raw, values.as_ptr(), values.len())
                }
                Literal::None => ffi::secateur_program_none(raw),
                Literal::Bool(value) => ffi::secateur_program_bool(raw, *value),
                Literal::Int(size) => ffi::secateur_program_int(raw, size.per_sample, size.fixed),
                Literal::Float(value) => ffi::secateur_program_float(raw, *value),
                Literal::Str(text) => {
                    let text = c_string(text)?;
                    ffi::secateur_program_string(raw, text.as_ptr())
                }
                Literal::Ints(sizes) => {
                    let pairs: Vec<i64> =
                        sizes.iter().flat_map(|&Size { per_sample, fixed }| [per_sample, fixed]).collect();
                    ffi::secateur_program_ints(raw, pairs.as_ptr(), sizes.len())
                }
                Literal::Floats(values) => ffi::secateur_program_floats(raw, values.as_ptr(), values.len()),
                Literal::Bools(values) => ffi::secateur_program_bools(raw, values.as_ptr(), values.len()),
                Literal::Device(_) => ffi::secateur_program_device(raw),
            }
        };
        check(failure)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `secateur_program_new`, freed here and once.
        unsafe { ffi::secateur_program_free(self.raw) };
    }
}

fn value_numbers(values: &[ValueId]) -> Vec<u32> {
    values.iter().map(|value| value.0).collect()
}
