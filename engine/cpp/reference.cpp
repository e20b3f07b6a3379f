#include "reference.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/interned_strings.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/canonicalize_graph_fuser_ops.h>
#include <torch/csrc/jit/runtime/custom_operator.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "budget.h"
#include "failure.h"
#include "memory.h"
#include "tensors.h"

namespace secateur {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;

const c10::Symbol kStep = c10::Symbol::fromQualString("secateur::step");
const c10::Symbol kAdmit = c10::Symbol::fromQualString("secateur::admit");
const c10::Symbol kMakeDevice = c10::Symbol::fromQualString("aten::device");

// Of the run that this thread is in.
thread_local Budget* spent = nullptr;

class Spending {
 public:
  explicit Spending(Budget& budget) { spent = &budget; }
  ~Spending() { spent = nullptr; }
  Spending(const Spending&) = delete;
  Spending& operator=(const Spending&) = delete;
};

// The interpreter pushes the number of arguments behind them.
std::vector<c10::IValue> pop_arguments(Stack& stack) {
  const int64_t count = stack.back().toInt();
  stack.pop_back();
  std::vector<c10::IValue> args(stack.end() - count, stack.end());
  stack.erase(stack.end() - count, stack.end());
  return args;
}

Budget& budget() {
  if (spent == nullptr) throw Rejected("unsupported_operator", "The model uses an operator that is not for models.");
  return *spent;
}

// Conservative, so that no pass takes them for calls without an effect.
const torch::jit::RegisterOperators kOperators({
    torch::jit::Operator(
        "secateur::step(...) -> ()",
        [](Stack& stack) {
          const std::vector<c10::IValue> args = pop_arguments(stack);
          budget().step(args.at(0).toInt(), args.at(1).toInt());
        },
        c10::AliasAnalysisKind::CONSERVATIVE),
    torch::jit::Operator(
        "secateur::admit(...) -> ()",
        [](Stack& stack) {
          const std::vector<c10::IValue> args = pop_arguments(stack);
          budget().admit(args.at(0).toStringRef(), c10::ArrayRef<c10::IValue>(args).slice(1));
        },
        c10::AliasAnalysisKind::CONSERVATIVE),
});

bool makes_device(const Node* node) {
  if (node->kind() == kMakeDevice) return true;
  return node->kind() == c10::prim::Constant && node->output()->type()->kind() == c10::TypeKind::DeviceObjType &&
      !node->output()->mustBeNone();
}

// Makes every device this one, and takes out what is printed or warned about.
void name_device(Graph& graph, Block* block, c10::Device device) {
  for (auto entry = block->nodes().begin(); entry != block->nodes().end();) {
    Node* node = *entry++;
    if (node->kind() == c10::prim::Print || node->kind() == c10::aten::warn) {
      node->destroy();
      continue;
    }
    for (Block* inner : node->blocks()) name_device(graph, inner, device);
    if (!makes_device(node)) continue;
    const torch::jit::WithInsertPoint before(node);
    node->output()->replaceAllUsesWith(graph.insertConstant(device));
    node->destroy();
  }
}

void prepare(Graph& graph, Block* block) {
  int64_t count = 1;
  int64_t elements = 0;
  for (auto entry = block->nodes().begin(); entry != block->nodes().end();) {
    Node* node = *entry++;
    const torch::jit::WithInsertPoint before(node);
    for (Block* inner : node->blocks()) prepare(graph, inner);
    ++count;
    elements += written_elements(node);
    if (!may_grow(node)) continue;
    std::vector<Value*> args = {graph.insertConstant(std::string(node->kind().toQualString()))};
    args.insert(args.end(), node->inputs().begin(), node->inputs().end());
    graph.insertNode(graph.create(kAdmit, args, /*num_outputs=*/0));
  }
  const torch::jit::WithInsertPoint head(*block->nodes().begin());
  graph.insertNode(
      graph.create(kStep, {graph.insertConstant(count), graph.insertConstant(elements)}, /*num_outputs=*/0));
}

// The interpreter puts the stack of the program before what the operator said.
std::string said_by_operator(const std::string& message) {
  const auto marker = message.rfind("Error: ");
  return first_line(marker == std::string::npos ? message : message.substr(marker + 7));
}

}  // namespace

void put_under_budget(const torch::jit::Module& module) {
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) {
    const auto graph = torch::jit::toGraphFunction(*function).graph();
    name_device(*graph, graph->block(), c10::kCPU);
    prepare(*graph, graph->block());
    // The one pass of the executor that dtypes depend on.
    torch::jit::CanonicalizeOps(graph);
  }
}

void run_on(const torch::jit::Module& module, c10::Device device) {
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) {
    const auto graph = torch::jit::toGraphFunction(*function).graph();
    name_device(*graph, graph->block(), device);
  }
}

std::vector<at::Tensor> reference_outputs(torch::jit::Module module, std::vector<c10::IValue> inputs) {
  const at::NoGradGuard no_grad;
  // As written, without further passes of the executor.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  Budget budget;
  const Spending spending(budget);
  std::vector<at::Tensor> outputs;
  try {
    flatten(module.forward(std::move(inputs)), outputs);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (...) {
    if (budget.refusal()) throw *budget.refusal();
    check_tensor_memory();
    throw Rejected(
        "unsupported_model",
        "The model fails where libtorch itself runs it without gradients: " + said_by_operator(logged_message()), "",
        "Check that it runs in PyTorch, in evaluation mode and at any batch size.");
  }
  return outputs;
}

}  // namespace secateur
