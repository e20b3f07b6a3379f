// Tensors on their way over the C boundary.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <vector>

struct TensorList {
  std::vector<at::Tensor> tensors;
};

namespace secateur {

inline std::vector<c10::IValue> ivalues(const at::Tensor* const* tensors, size_t count) {
  std::vector<c10::IValue> values;
  values.reserve(count + 1);
  for (size_t index = 0; index < count; ++index) values.emplace_back(*tensors[index]);
  return values;
}

// The tensors of a model's output in reading order.
inline void flatten(const c10::IValue& output, std::vector<at::Tensor>& tensors) {
  if (output.isTensor()) {
    if (output.toTensor().defined()) tensors.push_back(output.toTensor());
  } else if (output.isTuple()) {
    for (const c10::IValue& part : output.toTupleRef().elements()) flatten(part, tensors);
  } else if (output.isList()) {
    for (const c10::IValue& part : output.toList().vec()) flatten(part, tensors);
  } else if (output.isGenericDict()) {
    for (const auto& entry : output.toGenericDict()) flatten(entry.value(), tensors);
  }
}

}  // namespace secateur
