// The operator allow-list: what a model may contain, checked before any of its code runs.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>

namespace secateur {

bool is_allowed_operator(const std::string& name, const std::string& overload);

// For tests of the layers below: from now on every operator of this process is allowed.
void allow_every_operator();

// Whether that was called.
bool allows_every_operator();

// Where a node stands in the archive's code: `code/__torch__.py:12`, or nothing.
std::string source_of(const torch::jit::Node* node);

// Checks every block of every function and method that came with the module, whether or not `forward` reaches it.
// Throws Rejected for the first operator that is not allowed.
void check_operators(const torch::jit::Module& module);

}  // namespace secateur
