// A function of the program that is being evaluated.
#pragma once

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace secateur {

struct Frame {
  // The node that runs.
  const torch::jit::Node* at = nullptr;
  torch::jit::Function* function = nullptr;
  // The arguments began with an object of the module.
  bool is_method = false;
  std::unordered_map<const torch::jit::Value*, c10::IValue> values;
  // Numbers, and lists of them, that depend on the size of a tensor.
  std::unordered_set<const torch::jit::Value*> sized;
  std::string module;
};

}  // namespace secateur
