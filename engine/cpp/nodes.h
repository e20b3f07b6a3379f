// What can be said of a node of a program without running it.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <optional>
#include <unordered_map>
#include <vector>

namespace secateur {

// Whether the node says how large a tensor is.
bool tells_sizes(const torch::jit::Node* node);

// A Python number beside a tensor is a constant of no dimensions in a trace, float64 or int64. PyTorch's executor
// (`CanonicalizeOps`) makes it a number again, which keeps the tensor's dtype where a tensor of float64 would not: this
// is which of a call's inputs it does that with, where it does.
std::optional<size_t> number_of(const torch::jit::Node* call);

// Whether all that reads a constant takes it for a number.
bool is_number(const torch::jit::Value* constant);

// Whether a branch only raises, as that of an assertion does.
bool raises(const torch::jit::Block* block);

// For each node of a block the values of that block that nothing reads after it.
std::unordered_map<const torch::jit::Node*, std::vector<const torch::jit::Value*>> last_reads(
    const torch::jit::Block* block);

}  // namespace secateur
