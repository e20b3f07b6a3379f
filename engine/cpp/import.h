// A user's TorchScript archive: loading it, recording what `forward` does, and running it as libtorch would.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bridged.h"
#include "weights.h"

namespace secateur {

struct Recorded;
struct Guide;
struct GivenNumber;

class Archive {
 public:
  Archive(const std::string& path, bool only_allowed_operators);

  // JSON: {"required": 1, "total": 2, "numbers": [1], "traced": [{"shape": [2, 3, 8, 8], "dtype": "float32"}]};
  // `numbers` are the inputs that take a number and no tensor.
  rust::String inputs() const { return rust::String::lossy(inputs_); }

  // What inputs of `forward` are given that take numbers.
  void give(rust::Slice<const GivenNumber> numbers);

  // JSON of what a user of the model meets besides the tensors of `forward`:
  // {"methods": ["encode"], "attributes": ["classes"], "required": 1, "optional": ["mask"], "named_tuple": ""}.
  rust::String interface() const;

  // JSON of the methods beside `forward`, with the number of tensors that each needs; null for one that needs something
  // else: [{"name": "encode", "tensors": 1}].
  rust::String methods() const;

  // Evaluates a method on the inputs and writes down what it does. With `skip_work`, what heavy operators compute of
  // data is zeros: what is written down is the same, unless a program fails on zeros.
  Recorded record(rust::Str method, rust::Slice<const Borrowed> inputs, bool skip_work) const;

  // Evaluates `forward` with the arguments that the guide wants, and tells it where the program says others.
  void record_guided(rust::Slice<const Borrowed> inputs, Guide& guide) const;

  // `Module::forward` as libtorch runs it, outputs in reading order. To be called once and after all else: it changes
  // the program.
  rust::Vec<Owned> forward(rust::Slice<const Borrowed> inputs);

 private:
  torch::jit::Method method_named(const std::string& name) const;
  // Of `forward`.
  const c10::FunctionSchema& schema() const;
  // The given inputs and the defaults of the rest.
  std::vector<c10::IValue> arguments(const torch::jit::Method& method, rust::Slice<const Borrowed> inputs) const;
  void describe_inputs(const std::string& path);

  torch::jit::Module module_;
  ModuleTensors tensors_;
  std::string inputs_;
  std::map<size_t, double> numbers_;
};

// Without `only_allowed_operators`, which is for tests of the layers below, any operator passes.
std::unique_ptr<Archive> load_archive(rust::Slice<const uint8_t> path, bool only_allowed_operators);

}  // namespace secateur
