// Tensors on their way to and from Rust.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <memory>
#include <vector>

#include "secateur-engine/src/torch/bridge.rs.h"

namespace secateur {

inline std::vector<c10::IValue> ivalues(rust::Slice<const Borrowed> tensors) {
  std::vector<c10::IValue> values;
  values.reserve(tensors.size() + 1);
  for (const Borrowed& borrowed : tensors) values.emplace_back(borrowed.tensor);
  return values;
}

inline rust::Vec<Owned> owned(std::vector<at::Tensor> tensors) {
  rust::Vec<Owned> result;
  result.reserve(tensors.size());
  for (at::Tensor& tensor : tensors) result.push_back({std::make_unique<at::Tensor>(std::move(tensor))});
  return result;
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
