#include "nodes.h"

#include <torch/csrc/jit/ir/constants.h>

#include <string>
#include <unordered_set>

namespace secateur {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

namespace {

void add_reads(const Node* node, std::vector<const Value*>& reads) {
  reads.insert(reads.end(), node->inputs().begin(), node->inputs().end());
  for (const Block* inner : node->blocks()) {
    for (const Node* nested : inner->nodes()) add_reads(nested, reads);
    reads.insert(reads.end(), inner->outputs().begin(), inner->outputs().end());
  }
}

}  // namespace

bool tells_sizes(const Node* node) {
  static const std::unordered_set<std::string> names = {"aten::size",     "aten::numel",     "aten::stride",
                                                        "aten::sym_size", "aten::sym_numel", "aten::is_contiguous"};
  return names.count(node->kind().toQualString()) != 0;
}

std::optional<size_t> number_of(const Node* call) {
  static const std::unordered_set<std::string> names = {"aten::add", "aten::sub", "aten::mul", "aten::div"};
  if (names.count(call->kind().toQualString()) == 0 || call->schema().overload_name() != "Tensor") return std::nullopt;
  constexpr size_t kOther = 1;
  const bool has_alpha = call->inputs().size() > kOther + 1;
  if (has_alpha && !torch::jit::toIValue(call->input(kOther + 1))) return std::nullopt;
  const std::optional<c10::IValue> other = torch::jit::toIValue(call->input(kOther));
  const bool is_number = other && other->isTensor() && other->toTensor().defined() && other->toTensor().dim() == 0;
  return is_number ? std::optional(kOther) : std::nullopt;
}

bool is_number(const Value* constant) {
  for (const torch::jit::Use& use : constant->uses()) {
    if (use.user->maybeSchema() == nullptr || number_of(use.user) != use.offset) return false;
  }
  return constant->hasUses();
}

bool raises(const Block* block) {
  for (const Node* node : block->nodes()) {
    if (node->kind() == c10::prim::RaiseException) return true;
  }
  return false;
}

std::unordered_map<const Node*, std::vector<const Value*>> last_reads(const Block* block) {
  std::unordered_map<const Node*, std::vector<const Value*>> dead;
  std::unordered_set<const Value*> read_later(block->outputs().begin(), block->outputs().end());
  for (const Node* node : block->nodes().reverse()) {
    std::vector<const Value*> reads(node->outputs().begin(), node->outputs().end());
    add_reads(node, reads);
    for (const Value* value : reads) {
      if (value->node()->owningBlock() == block && read_later.insert(value).second) dead[node].push_back(value);
    }
  }
  return dead;
}

}  // namespace secateur
