// Tensors on their way to and from Rust.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <memory>
#include <vector>

#include "secateur-engine/src/torch/bridge.rs.h"

namespace secateur {

// The arguments of a call: numbers where some are given, the tensors where tensors are declared, defaults behind them.
inline std::vector<c10::IValue> arguments_of(
    const c10::FunctionSchema& schema, rust::Slice<const Borrowed> tensors, const std::map<size_t, double>& numbers) {
  std::vector<c10::IValue> values;
  const auto& declared = schema.arguments();
  size_t next = 0;
  for (size_t index = 1; index < declared.size(); ++index) {
    const c10::Argument& argument = declared[index];
    const auto number = numbers.find(index - 1);
    if (number != numbers.end() && argument.type()->kind() == c10::TypeKind::IntType) {
      values.emplace_back(static_cast<int64_t>(number->second));
    } else if (number != numbers.end() && argument.type()->kind() == c10::TypeKind::BoolType) {
      values.emplace_back(number->second != 0);
    } else if (number != numbers.end() && argument.type()->kind() == c10::TypeKind::FloatType) {
      values.emplace_back(number->second);
    } else if (next < tensors.size()) {
      values.emplace_back(tensors[next++].tensor);
    } else {
      TORCH_CHECK(argument.default_value().has_value(), "input `", argument.name(), "` is missing");
      values.push_back(*argument.default_value());
    }
  }
  TORCH_CHECK(next == tensors.size(), schema.name(), " takes ", next, " tensors, ", tensors.size(), " were given");
  return values;
}

inline std::map<size_t, double> numbers_of(rust::Slice<const GivenNumber> given) {
  std::map<size_t, double> numbers;
  for (const GivenNumber& number : given) numbers[number.input] = number.value;
  return numbers;
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
