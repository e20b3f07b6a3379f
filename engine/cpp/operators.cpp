#include "operators.h"

#include <ATen/core/interned_strings.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>

#include <sstream>
#include <unordered_set>

#include "failure.h"

namespace secateur {
namespace {

using torch::jit::Block;
using torch::jit::Node;

// Blocks inside each other, values that one node reads or makes, classes inside each other.
constexpr size_t kMaxNesting = 100;
constexpr size_t kMaxValues = 10'000;
constexpr size_t kMaxClasses = 1000;

struct Family {
  const char* name_space;
  const char* overloads;
  const char* names;
};

constexpr Family kFamilies[] = {
#include "operators.inc"
};

std::string qualified(const std::string& name, const std::string& overload) { return name + "." + overload; }

std::unordered_set<std::string> expand_families() {
  std::unordered_set<std::string> allowed;
  for (const Family& family : kFamilies) {
    std::istringstream names(family.names);
    for (std::string name; names >> name;) {
      std::istringstream overloads(family.overloads);
      for (std::string overload; overloads >> overload;) {
        allowed.insert(
            qualified(std::string(family.name_space) + "::" + name, overload == "-" ? std::string() : overload));
      }
    }
  }
  return allowed;
}

// Kinds that are part of the language and have no operator; the evaluator handles (or refuses) each by itself.
bool is_language_construct(const Node* node) {
  switch (node->kind()) {
    case c10::prim::Constant:
    case c10::prim::GetAttr:
    case c10::prim::SetAttr:
    case c10::prim::CallMethod:
    case c10::prim::CallFunction:
    case c10::prim::If:
    case c10::prim::Loop:
    case c10::prim::ListConstruct:
    case c10::prim::ListUnpack:
    case c10::prim::TupleConstruct:
    case c10::prim::TupleUnpack:
    case c10::prim::TupleIndex:
    case c10::prim::TupleSlice:
    case c10::prim::DictConstruct:
    // Of the guards that switch gradients off or on; the pre-flight lets no other object be made.
    case c10::prim::CreateObject:
    case c10::prim::Enter:
    case c10::prim::Exit:
    case c10::prim::RaiseException:
    case c10::prim::Print:
    case c10::prim::Uninitialized:
    case c10::prim::unchecked_cast:
    case c10::prim::unchecked_unwrap_optional:
    case c10::prim::isinstance:
    case c10::aten::warn:
    case c10::aten::format: return true;
    default: return false;
  }
}

std::string hint_for(const std::string& name) {
  if (name.rfind("quantized::", 0) == 0) return "Upload the float model from before quantisation.";
  if (name.find("mkldnn") != std::string::npos || name.find("MKLDNN") != std::string::npos ||
      name.find("prepacked") != std::string::npos) {
    return "Upload the model from before torch.jit.optimize_for_inference.";
  }
  if (name.rfind("torchvision::", 0) == 0)
    return "torchvision's own C++ operators are not supported; upload the backbone alone";
  if (name == "prim::CreateObject" || name == "prim::Enter" || name == "prim::fork") {
    return "torch.jit.trace writes a model without classes, context managers and tasks";
  }
  return "";
}

[[noreturn]] void refuse(const Node* node, const std::string& name, const std::string& overload) {
  std::string detail = "The model uses the operator `" + name + (overload.empty() ? "" : "." + overload) + "`";
  const std::string source = source_of(node);
  if (!source.empty()) detail += " (" + source + ")";
  throw Rejected(
      "unsupported_operator", detail + ", which is not on the list of supported operators.", source, hint_for(name));
}

[[noreturn]] void refuse_size(const std::string& what, size_t most, const std::string& place = "") {
  const std::string source = place.empty() ? "" : " (" + place + ")";
  throw Rejected(
      "unsupported_model", "The model's code has " + what + " of more than " + std::to_string(most) + source + ".",
      place);
}

// What PyTorch's own guards do to the thread, and nothing else may.
bool may_set_gradients(const c10::QualifiedName& function) {
  return function.qualifiedName().rfind("__torch__.torch.autograd.grad_mode.", 0) == 0;
}

void check_block(const Block* block, const c10::QualifiedName& function, size_t depth) {
  if (depth > kMaxNesting) refuse_size("a nesting of branches and loops", kMaxNesting);
  for (const Node* node : block->nodes()) {
    if (node->inputs().size() > kMaxValues || node->outputs().size() > kMaxValues) {
      refuse_size("a list of values", kMaxValues, source_of(node));
    }
    if (!is_language_construct(node)) {
      const c10::FunctionSchema* schema = node->maybeSchema();
      if (schema == nullptr) refuse(node, node->kind().toQualString(), "");
      const bool is_kept_back = schema->name() == "aten::set_grad_enabled" && !may_set_gradients(function);
      if (is_kept_back || !is_allowed_operator(schema->name(), schema->overload_name())) {
        refuse(node, schema->name(), schema->overload_name());
      }
    }
    for (const Block* inner : node->blocks()) check_block(inner, function, depth + 1);
  }
}

void check_function(torch::jit::Function* function) {
  function->ensure_defined();
  if (!function->isGraphFunction()) {
    throw Rejected(
        "unsupported_operator",
        "The model contains `" + function->qualname().qualifiedName() + "`, which is not TorchScript code.");
  }
  check_block(torch::jit::toGraphFunction(*function).graph()->block(), function->qualname(), 0);
}

void check_class(const c10::ClassTypePtr& type, std::unordered_set<const c10::Type*>& checked, size_t depth) {
  if (depth > kMaxClasses) refuse_size("a nesting of modules", kMaxClasses);
  if (!checked.insert(type.get()).second) return;
  if (!type->getForwardHooks().empty() || !type->getForwardPreHooks().empty()) {
    throw Rejected(
        "unsupported_model", "The module class `" + type->repr_str() + "` has forward hooks, which are not supported.",
        "", "Remove the hooks before torch.jit.script or torch.jit.trace.");
  }
  for (torch::jit::Function* method : type->methods()) check_function(method);
  for (size_t slot = 0; slot < type->numAttributes(); ++slot) {
    if (auto attribute = type->getAttribute(slot)->cast<c10::ClassType>()) check_class(attribute, checked, depth + 1);
  }
}

bool every_operator_is_allowed = false;

}  // namespace

bool is_allowed_operator(const std::string& name, const std::string& overload) {
  static const std::unordered_set<std::string> allowed = expand_families();
  return every_operator_is_allowed || allowed.count(qualified(name, overload)) != 0;
}

void allow_every_operator() { every_operator_is_allowed = true; }

bool allows_every_operator() { return every_operator_is_allowed; }

std::string source_of(const Node* node) {
  const auto range = node->sourceRange();
  if (const auto place = range.file_line_col()) {
    const auto& [file, line, column] = *place;
    const auto code = file.find("code/");
    return (code == std::string::npos ? file : file.substr(code)) + ":" + std::to_string(line + 1);
  }
  return "";
}

void check_operators(const torch::jit::Module& module) {
  // Methods are functions of the compilation unit too; the classes are walked besides for what only they know.
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) check_function(function);
  std::unordered_set<const c10::Type*> checked;
  check_class(module.type(), checked, 0);
}

}  // namespace secateur
