// A user's TorchScript archive: loading it, recording what `forward` does, and running it as libtorch would.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>
#include <vector>

#include "bridged.h"
#include "weights.h"

namespace secateur {

struct Recorded;
struct Guide;

class Archive {
 public:
  Archive(const std::string& path, bool only_allowed_operators);

  // JSON: {"required": 1, "total": 2, "traced": [{"shape": [2, 3, 8, 8], "dtype": "float32"}]}.
  rust::String inputs() const { return rust::String::lossy(inputs_); }

  // JSON of what a user of the model meets besides the tensors of `forward`:
  // {"methods": ["encode"], "attributes": ["classes"], "optional": ["mask"], "named_tuple": ""}.
  rust::String interface() const;

  // Evaluates `forward` on the inputs and writes down what it does.
  Recorded record(rust::Slice<const Borrowed> inputs) const;

  // Evaluates `forward` with the arguments that the guide wants, and tells it where the program says others.
  void record_guided(rust::Slice<const Borrowed> inputs, Guide& guide) const;

  // `Module::forward` as libtorch runs it, outputs in reading order. To be called once and after all else: it changes
  // the program.
  rust::Vec<Owned> forward(rust::Slice<const Borrowed> inputs);

 private:
  const c10::FunctionSchema& schema() const;
  // The given inputs and the defaults of the rest.
  std::vector<c10::IValue> arguments(rust::Slice<const Borrowed> inputs) const;
  void describe_inputs(const std::string& path);

  torch::jit::Module module_;
  ModuleTensors tensors_;
  std::string inputs_;
};

// Without `only_allowed_operators`, which is for tests of the layers below, any operator passes.
std::unique_ptr<Archive> load_archive(rust::Slice<const uint8_t> path, bool only_allowed_operators);

}  // namespace secateur
