// What one evaluation of `forward` did: every operator on tensors, with its arguments as literals.
//
// A value is a tensor at one point of the program. Tensors are told apart by their TensorImpl. What was computed is
// forgotten once nobody but the recorder holds it, so no more activations live at once than the program itself keeps.
// Two rules keep the record in static single assignment form:
// an operator that returns its own input (contiguous, dropout in evaluation) gets a new impl that shares the storage;
// an operator that writes in place makes a new value of the impl. When the impl is a view, the tensors that it was
// taken of get new values too, with the view put back (`cat` of what lies around it); every other impl that sees the
// written memory is taken again when it is next read. Memory that no input reaches (the mask of a window attention) is
// read as a constant.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "budget.h"
#include "view.h"
#include "weights.h"

namespace secateur {

// Where the program is.
struct Place {
  // `code/__torch__.py:12`, may be empty.
  std::string source;
  // Dotted path of the module whose method runs.
  std::string module;

  std::string node() const { return module.empty() ? source : module; }
  // ` in `layer1.0` (code/__torch__.py:12)`, as far as it is known.
  std::string text() const;
  // The fields `module` and `source` of a node, with a comma before.
  std::string json() const;
};

// Says what the arguments of calls have to be, where that is not what the program gives.
class Reviewer {
 public:
  virtual ~Reviewer() = default;
  // `call` is the number of the node that the call will be; `literal` is the JSON of the argument.
  virtual std::optional<c10::IValue> review(
      size_t call, const std::string& op, size_t argument, const std::string& literal) = 0;
};

class Recorder {
 public:
  explicit Recorder(Budget& budget) : budget_(budget) {}

  // Lets arguments be replaced before each call.
  void ask(Reviewer* reviewer) { reviewer_ = reviewer; }

  // From now on heavy operators give zeros where nothing but shapes can depend on what they compute.
  void skip_work() { skips_work_ = true; }

  void add_input(const at::Tensor& tensor);
  void add_weight(const Weight& weight);

  // A tensor that the code holds as a constant; known or not.
  void know_constant(const at::Tensor& tensor);

  // The name that the archive has for a constant, `CONSTANTS.c3`.
  void name_constant(const at::Tensor& tensor, const std::string& name);

  // Runs an operator on the stack and records it when it makes tensors.
  void call(
      const c10::FunctionSchema& schema, const std::function<void(c10::Stack&)>& kernel, c10::Stack& stack,
      const Place& place);

  // `prim::NumToTensor`: a number that becomes a tensor.
  at::Tensor scalar_tensor(c10::IValue number, const Place& place);

  // Whether what a tensor holds depends on the contents of an input or a trained parameter.
  bool depends_on_data(const at::Tensor& tensor, const std::string& reader);

  // A branch or loop of the program that another size of the input could have taken otherwise.
  void specialise(const Place& place);

  void set_output(const c10::IValue& output);

  // The tensors of a value outlive the call.
  void keep(const c10::IValue& value);

  // The number that the next call has, unless what it reads has to be renewed first.
  size_t next_call() const { return nodes_.size(); }

  // The wire form that src/torch/recording.rs reads.
  std::string json() const;

  std::vector<at::Tensor> weights() const;

 private:
  enum class Origin { Input, Weight, Computed };

  struct State {
    at::Tensor tensor;
    int64_t value;
    Origin origin;
    // Depends on the contents of an input or a trained parameter, so no number may be read from it.
    bool has_data;
    // The tensor that it is a view of; undefined when it is none.
    at::Tensor base;
    // How many views of views it is.
    size_t depth;
    // The operator that wrote into its memory after `value` was recorded; empty while `value` is what it holds.
    std::string overwritten_by;
  };

  struct ParameterEntry {
    Weight weight;
    int64_t value;
    std::string tied_to;
  };

  // Drops computed tensors that the program cannot reach any more.
  void forget_unreachable();
  int64_t new_value(const at::Tensor& tensor, const std::string& of);
  void add_node(std::string node);
  int64_t add_constant(const at::Tensor& tensor);
  State& track(const at::Tensor& tensor, int64_t value, Origin origin, bool has_data);
  State& state_of(const at::Tensor& tensor, const std::string& reader);
  int64_t read(const at::Tensor& tensor, const std::string& reader, const Place& place);
  // The JSON of an argument; false when the wire form has nothing for it.
  bool literal(const c10::IValue& value, const std::string& reader, const Place& place, std::string& json);
  static void check_recurrent(
      const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const std::string& label,
      const Place& place);
  void check_behaviour(
      const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const std::string& label,
      const Place& place);
  std::string output_json(const c10::IValue& output, size_t depth);

  // writes.cpp. A write is checked, then the bases of what it writes are read, then the kernel runs, then it is
  // finished.
  void check_write(const at::Tensor& written, const std::string& writer, const Place& place);
  void read_bases(const at::Tensor& written, bool has_data, const std::string& writer, const Place& place);
  std::string operator_of_write(const c10::FunctionSchema& schema, const at::Tensor& written);
  void finish_write(const at::Tensor& written, const std::string& writer, const Place& place);
  // After a write that nothing can say, what lies above cannot be read.
  void forget_bases(const at::Tensor& view, const std::string& writer);
  int64_t put_together(const ViewRange& range, const State& base, int64_t part, const Place& place);
  int64_t put_back(const View& geometry, const State& base, int64_t view, const Place& place);
  // Gives an overwritten tensor the value of what it holds now.
  void renew(State& state, const std::string& reader, const Place& place);
  int64_t record(
      const ViewCall& call, const std::vector<std::pair<std::string, int64_t>>& tensors, const at::Tensor& result,
      const Place& place);

  Budget& budget_;
  Reviewer* reviewer_ = nullptr;
  bool skips_work_ = false;
  std::vector<std::string> values_;
  std::vector<int64_t> inputs_;
  std::vector<ParameterEntry> parameters_;
  std::unordered_map<const c10::StorageImpl*, std::vector<size_t>> parameters_by_storage_;
  size_t constants_ = 0;
  // What the archive calls the constants, by value.
  std::map<int64_t, std::string> constant_names_;
  std::vector<std::string> nodes_;
  std::vector<std::string> specialisations_;
  std::string output_;
  std::vector<int64_t> kept_;
  std::unordered_map<const c10::TensorImpl*, State> states_;
  std::unordered_map<const c10::StorageImpl*, std::vector<const c10::TensorImpl*>> by_storage_;
  // The computed ones of `states_`, in the order in which they were made: a view comes after its base.
  std::vector<const c10::TensorImpl*> computed_;
};

}  // namespace secateur
