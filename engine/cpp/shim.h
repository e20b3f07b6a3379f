// The C interface that src/torch/ffi.rs declares. Rules of all functions:
// a returned Failure* is null on success, else the caller frees it; strings are UTF-8 and end with a zero byte; a
// `const char*` that comes back lives as long as the object it was asked from; `at::Tensor*` is tch's C tensor: as an
// argument it stays the caller's, as a result it is new and becomes the caller's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace at {
class Tensor;
}

namespace secateur {
struct Failure;
class Archive;
class Recording;
class Program;
class ModuleBuilder;
class Reloaded;
}  // namespace secateur

// Tensors that a call returns.
struct TensorList;

extern "C" {

const char* secateur_failure_code(const secateur::Failure*);
const char* secateur_failure_detail(const secateur::Failure*);
const char* secateur_failure_node(const secateur::Failure*);
const char* secateur_failure_hint(const secateur::Failure*);
void secateur_failure_free(secateur::Failure*);

size_t secateur_tensors_count(const TensorList*);
at::Tensor* secateur_tensors_get(const TensorList*, size_t index);
void secateur_tensors_free(TensorList*);

// runtime.cpp
secateur::Failure* secateur_initialise(int threads, bool deterministic);
// Of the headers that this was compiled with.
const char* secateur_libtorch_version();
// memory.cpp: from now on tensors may take `bytes` more than are alive now; 0 ends the limit.
void secateur_limit_tensor_memory(uint64_t bytes);
// What was refused since then, if anything was.
secateur::Failure* secateur_refused_tensor_memory();
secateur::Failure* secateur_channels_last(const at::Tensor* tensor, at::Tensor** result);

// import.cpp: a user's TorchScript archive.
// Without `only_allowed_operators`, which is for tests of the layers below, any operator passes.
secateur::Failure* secateur_archive_load(const char* path, bool only_allowed_operators, secateur::Archive** result);
void secateur_archive_free(secateur::Archive*);
// JSON: {"required": 1, "total": 2, "traced": [{"shape": [2, 3, 8, 8], "dtype": "float32"}]}.
const char* secateur_archive_inputs(const secateur::Archive*);
// Evaluates `forward` on the inputs and writes down what it does.
secateur::Failure* secateur_archive_record(
    const secateur::Archive*, const at::Tensor* const* inputs, size_t count, secateur::Recording** result);
// `Module::forward` as libtorch runs it, outputs in reading order. To be called once and after all else: it changes the
// program.
secateur::Failure* secateur_archive_forward(
    secateur::Archive*, const at::Tensor* const* inputs, size_t count, TensorList** result);
const char* secateur_recording_json(const secateur::Recording*);
// One tensor per entry of the recording's `parameters`.
secateur::Failure* secateur_recording_weights(const secateur::Recording*, TensorList** result);
void secateur_recording_free(secateur::Recording*);

// program.cpp: the interpreter. Values are numbered as in the graph; -1 is "no tensor".
secateur::Program* secateur_program_new(size_t values);
void secateur_program_free(secateur::Program*);
void secateur_program_input(secateur::Program*, uint32_t value);
void secateur_program_weight(secateur::Program*, uint32_t value);
secateur::Failure* secateur_program_node(secateur::Program*, const char* name, const char* op, const char* overload);
secateur::Failure* secateur_program_tensor(secateur::Program*, int64_t value);
secateur::Failure* secateur_program_tensors(secateur::Program*, const int64_t* values, size_t count);
secateur::Failure* secateur_program_none(secateur::Program*);
secateur::Failure* secateur_program_bool(secateur::Program*, bool value);
secateur::Failure* secateur_program_int(secateur::Program*, int64_t per_sample, int64_t fixed);
secateur::Failure* secateur_program_float(secateur::Program*, double value);
secateur::Failure* secateur_program_string(secateur::Program*, const char* text);
// Pairs of per_sample and fixed.
secateur::Failure* secateur_program_ints(secateur::Program*, const int64_t* pairs, size_t count);
secateur::Failure* secateur_program_floats(secateur::Program*, const double* values, size_t count);
secateur::Failure* secateur_program_bools(secateur::Program*, const bool* values, size_t count);
secateur::Failure* secateur_program_device(secateur::Program*);
secateur::Failure* secateur_program_outputs(secateur::Program*, const uint32_t* values, size_t count, bool list);
secateur::Failure* secateur_program_finish(secateur::Program*, const uint32_t* outputs, size_t count);
secateur::Failure* secateur_program_run(
    const secateur::Program*, const at::Tensor* const* weights, size_t weight_count, const at::Tensor* const* inputs,
    size_t input_count, bool train, TensorList** result);
// Runs in evaluation mode and writes the wall time of each node, in program order; `count` is the number of nodes.
secateur::Failure* secateur_program_time(
    const secateur::Program*, const at::Tensor* const* weights, size_t weight_count, const at::Tensor* const* inputs,
    size_t input_count, double* seconds, size_t count);

// module.cpp: building, saving and running TorchScript modules of our own.
secateur::Failure* secateur_module_new(const char* class_name, secateur::ModuleBuilder** result);
void secateur_module_free(secateur::ModuleBuilder*);
// `kind`: 0 parameter, 1 buffer, 2 plain attribute. The folders of the dotted name become submodules.
secateur::Failure* secateur_module_tensor(
    secateur::ModuleBuilder*, const char* name, int kind, const at::Tensor* tensor, bool requires_grad);
// Defines the functions in `source` as methods of the submodule at the dotted `path` (empty: the root).
secateur::Failure* secateur_module_define(secateur::ModuleBuilder*, const char* path, const char* source);
secateur::Failure* secateur_module_save(
    secateur::ModuleBuilder*, const char* file, const char* const* extra_names, const char* const* extra_texts,
    size_t extra_count);
secateur::Failure* secateur_reloaded_open(const char* file, const char* device, secateur::Reloaded** result);
secateur::Failure* secateur_reloaded_forward(
    const secateur::Reloaded*, const at::Tensor* const* inputs, size_t count, TensorList** result);
void secateur_reloaded_free(secateur::Reloaded*);

}  // extern "C"
