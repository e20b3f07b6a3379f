// The tensors that a module owns, in `state_dict` order.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <string>
#include <unordered_map>
#include <vector>

namespace secateur {

enum class WeightKind { Parameter, Buffer, Constant };

struct Weight {
  std::string name;
  WeightKind kind;
  at::Tensor tensor;
};

struct ModuleTensors {
  // Per module its parameters, its buffers, then its children; tensors that are neither come last of all.
  std::vector<Weight> weights;
  // Dotted path of every module object; of a module that hangs at several places, the first.
  std::unordered_map<const c10::ivalue::Object*, std::string> paths;
};

// Throws Rejected for a dtype or layout that is not handled.
ModuleTensors collect_tensors(const torch::jit::Module& module);

const char* dtype_name(at::ScalarType dtype, const std::string& of);

}  // namespace secateur
