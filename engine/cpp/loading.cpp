#include "loading.h"

#include <ATen/core/function_schema.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace secateur {
namespace {

using torch::jit::Operation;
using torch::jit::Operator;
using torch::jit::Stack;

// Of the file that this thread loads.
thread_local Budget* spent = nullptr;

// Puts an operator that asks the budget first in the place of libtorch's.
void bound(const char* name, const char* overload, std::vector<std::shared_ptr<Operator>>& replaced) {
  const std::shared_ptr<Operator> original = torch::jit::findOperatorFor(c10::OperatorName(name, overload));
  TORCH_CHECK(original, name, " is no operator of this libtorch");
  const c10::FunctionSchema schema = original->schema();
  const auto behaviour = original->aliasAnalysisKind();
  std::ostringstream written;
  written << schema;
  // The nodes of programs that were loaded before refer to it.
  replaced.push_back(original);
  torch::jit::deregisterOperator(schema);
  const auto ask = [kernel = original->getOperation(), is_vararg = schema.is_vararg(),
                    declared = schema.arguments().size(), name = std::string(name)](Stack& stack) {
    if (spent != nullptr) {
      const size_t behind = is_vararg ? 1 : 0;
      const size_t count = is_vararg ? static_cast<size_t>(stack.back().toInt()) : declared;
      spent->admit(name, c10::ArrayRef<c10::IValue>(stack).slice(stack.size() - behind - count, count));
    }
    Operation run = kernel;
    run(stack);
  };
  torch::jit::registerOperator(Operator(written.str(), Operation(ask), behaviour));
}

}  // namespace

Loading::Loading() {
  static const std::vector<std::shared_ptr<Operator>> replaced = [] {
    std::vector<std::shared_ptr<Operator>> operators;
    bound("aten::add", "str", operators);
    bound("aten::replace", "", operators);
    bound("aten::format", "", operators);
    bound("aten::str", "", operators);
    bound("aten::join", "", operators);
    return operators;
  }();
  (void)replaced;
  spent = &budget_;
}

Loading::~Loading() { spent = nullptr; }

}  // namespace secateur
