#include "shortcut.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <unordered_set>

namespace secateur {
namespace {

// Multiplications below which the call itself is as quick.
constexpr int64_t kWorthIt = 1 << 20;

std::optional<size_t> argument(const c10::FunctionSchema& schema, const char* name) {
  const auto index = schema.argumentIndexWithName(name);
  return index ? std::optional<size_t>(static_cast<size_t>(*index)) : std::nullopt;
}

bool is_plain(const at::Tensor& tensor) {
  return tensor.defined() && tensor.layout() == at::kStrided && tensor.device().is_cpu();
}

bool convolution(
    const c10::FunctionSchema& schema, const std::function<void(torch::jit::Stack&)>& kernel,
    torch::jit::Stack& stack) {
  const auto groups = argument(schema, "groups");
  const auto transposed = argument(schema, "transposed");
  if (!groups || !stack[*groups].isInt() || (transposed && stack[*transposed].toBool())) return false;
  if (!stack[0].isTensor() || !stack[1].isTensor()) return false;
  const at::Tensor input = stack[0].toTensor(), weight = stack[1].toTensor();
  if (!is_plain(input) || !is_plain(weight) || input.dim() < 3 || input.dim() != weight.dim()) return false;
  const int64_t count = stack[*groups].toInt();
  const bool fits = input.size(0) > 0 && count > 0 && weight.size(0) > 0 && weight.size(0) % count == 0 &&
      input.size(1) == weight.size(1) * count && input.scalar_type() == weight.scalar_type();
  if (!fits || input.numel() * weight.numel() / std::max<int64_t>(weight.size(1), 1) < kWorthIt) return false;

  torch::jit::Stack small = stack;
  small[0] = input.narrow(0, 0, 1).narrow(1, 0, weight.size(1));
  small[1] = weight.narrow(0, 0, 1);
  small[*groups] = int64_t{1};
  const auto bias = argument(schema, "bias");
  if (bias && stack[*bias].isTensor() && stack[*bias].toTensor().defined()) {
    const at::Tensor whole = stack[*bias].toTensor();
    if (whole.dim() != 1 || whole.size(0) != weight.size(0) || whole.scalar_type() != input.scalar_type()) return false;
    small[*bias] = whole.narrow(0, 0, 1);
  }
  kernel(small);
  std::vector<int64_t> sizes = small.at(0).toTensor().sizes().vec();
  sizes[0] = input.size(0);
  sizes[1] = weight.size(0);
  const auto format = [&] {
    const auto of_input = input.suggest_memory_format(), of_weight = weight.suggest_memory_format();
    return of_input == at::MemoryFormat::Contiguous ? of_weight : of_input;
  };
  stack = {at::zeros(sizes, input.options().requires_grad(false)).contiguous(format())};
  return true;
}

bool linear(torch::jit::Stack& stack) {
  if (!stack[0].isTensor() || !stack[1].isTensor()) return false;
  const at::Tensor input = stack[0].toTensor(), weight = stack[1].toTensor();
  if (!is_plain(input) || !is_plain(weight) || input.dim() < 2 || weight.dim() != 2) return false;
  if (input.size(-1) != weight.size(1) || input.scalar_type() != weight.scalar_type()) return false;
  if (stack[2].isTensor() && stack[2].toTensor().defined()) {
    const at::Tensor bias = stack[2].toTensor();
    if (bias.dim() != 1 || bias.size(0) != weight.size(0) || bias.scalar_type() != input.scalar_type()) return false;
  }
  if (input.numel() * weight.size(0) < kWorthIt) return false;
  std::vector<int64_t> sizes = input.sizes().vec();
  sizes.back() = weight.size(0);
  stack = {at::zeros(sizes, input.options().requires_grad(false))};
  return true;
}

// What is written into is what comes back.
bool in_place(const c10::FunctionSchema& schema, torch::jit::Stack& stack) {
  static const std::unordered_set<std::string> elementwise = {
      "aten::relu_",       "aten::relu6_",   "aten::silu_", "aten::hardswish_", "aten::hardtanh_",
      "aten::leaky_relu_", "aten::sigmoid_", "aten::add_",  "aten::mul_"};
  if (elementwise.count(schema.name()) == 0 || !stack[0].isTensor() || !is_plain(stack[0].toTensor())) return false;
  const at::Tensor written = stack[0].toTensor();
  for (const c10::IValue& argument : stack) {
    if (!argument.isTensor()) continue;
    const at::Tensor& read = argument.toTensor();
    if (read.scalar_type() != written.scalar_type() || read.sizes() != written.sizes()) return false;
  }
  stack = {written};
  return true;
}

}  // namespace

bool shortcut(
    const c10::FunctionSchema& schema, const std::function<void(torch::jit::Stack&)>& kernel,
    torch::jit::Stack& stack) {
  static const std::unordered_set<std::string> convolutions = {
      "aten::conv1d", "aten::conv2d", "aten::conv3d", "aten::_convolution", "aten::convolution"};
  // What stands below the arguments on the stack is not ours.
  if (stack.size() != schema.arguments().size()) return false;
  if (convolutions.count(schema.name()) != 0) return convolution(schema, kernel, stack);
  return schema.name() == "aten::linear" ? linear(stack) : in_place(schema, stack);
}

}  // namespace secateur
