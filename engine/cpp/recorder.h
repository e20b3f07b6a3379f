// What one evaluation of `forward` did: every operator on tensors, with its arguments as literals.
//
// A value is a tensor at one point of the program. Tensors are told apart by their TensorImpl, which stays alive as long
// as the recorder does. Two rules keep the record in static single assignment form:
// an operator that returns its own input (contiguous, dropout in evaluation) gets a new impl that shares the storage;
// an operator that writes in place makes a new value of the impl, and every other impl that sees the written memory is
// spoilt: reading it later is refused, since in the record it would still have its old contents. What a slice or an index
// was taken of is put together anew (`x[a:b].zero_()` makes a new value of `x`), so that it may be read again.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "weights.h"

namespace secateur {

// Where the program is.
struct Place {
  // `code/__torch__.py:12`, may be empty.
  std::string source;
  // Dotted path of the module whose method runs.
  std::string module;

  std::string node() const { return module.empty() ? source : module; }
};

class Recorder {
 public:
  void add_input(const at::Tensor& tensor);
  void add_weight(const Weight& weight);

  // A tensor that the code holds as a constant; known or not.
  void add_constant(const at::Tensor& tensor);

  // Runs an operator on the stack and records it when it makes tensors.
  void call(
      const c10::FunctionSchema& schema, const std::function<void(c10::Stack&)>& kernel, c10::Stack& stack,
      const Place& place);

  // `prim::NumToTensor`: a number that becomes a tensor.
  at::Tensor scalar_tensor(const c10::IValue& number, const Place& place);

  void set_output(const c10::IValue& output);

  // The wire form that src/torch/recording.rs reads.
  std::string json() const;

  std::vector<at::Tensor> weights() const;

 private:
  enum class Origin { Input, Weight, Computed };

  // What a slice or a select was taken of; no tensor for everything else.
  struct Part {
    at::Tensor whole;
    int64_t dim = 0;
    int64_t start = 0;
    int64_t end = 0;
    bool is_index = false;
  };

  struct State {
    at::Tensor tensor;
    int64_t value;
    Origin origin;
    // Depends on the contents of an input or a trained parameter, so no number may be read from it.
    bool has_data;
    // The operator that wrote into its memory through another view; empty while it is sound.
    std::string spoilt_by;
    Part part;
  };

  struct ParameterEntry {
    Weight weight;
    int64_t value;
    std::string tied_to;
  };

  int64_t new_value(const at::Tensor& tensor, const std::string& of);
  State& track(const at::Tensor& tensor, int64_t value, Origin origin, bool has_data);
  State& state_of(const at::Tensor& tensor, const std::string& reader);
  int64_t read(const at::Tensor& tensor, const std::string& reader, const Place& place);
  // The JSON of an argument; false when the wire form has nothing for it.
  bool literal(const c10::IValue& value, const std::string& reader, const Place& place, std::string& json);
  void check_write(const at::Tensor& written, const std::string& writer, const Place& place);
  void spoil_views(const at::Tensor& written, const std::string& writer);
  static Part part_of(const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args);
  // The tensors of which the written one is a part, a part of a part and so on, as far as their contents are known.
  std::vector<Part> wholes_of(const at::Tensor& written);
  void put_together(at::Tensor written, const std::vector<Part>& wholes, const Place& place);
  // Records a call of our own; `args` are names and wire forms, the result has the tensor's shape.
  int64_t record(
      const std::string& op, const std::string& overload,
      const std::vector<std::pair<std::string, std::string>>& args, const at::Tensor& result, const Place& place);
  void check_behaviour(
      const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const std::string& label,
      const Place& place);
  std::string output_json(const c10::IValue& output, size_t depth);

  std::vector<std::string> values_;
  std::vector<int64_t> inputs_;
  std::vector<ParameterEntry> parameters_;
  std::unordered_map<const c10::StorageImpl*, std::vector<size_t>> parameters_by_storage_;
  size_t constants_ = 0;
  std::vector<std::string> nodes_;
  std::string output_;
  std::unordered_map<const c10::TensorImpl*, State> states_;
  std::unordered_map<const c10::StorageImpl*, std::vector<const c10::TensorImpl*>> by_storage_;
};

}  // namespace secateur
