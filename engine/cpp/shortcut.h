// The shape of what a convolution or a linear layer makes, without the work.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/stack.h>

#include <functional>

namespace secateur {

// Where what a call computes does not matter: makes zeros of the shape, type and layout that the operator would give,
// and true. A convolution is run on one sample, for one output channel, which tells its sizes and refuses what the
// whole would refuse. An element-wise operator does not write. False when the call is none of these, is small, or is
// not as usual; then nothing has happened.
bool shortcut(
    const c10::FunctionSchema& schema, const std::function<void(torch::jit::Stack&)>& kernel, torch::jit::Stack& stack);

}  // namespace secateur
