// `Module::forward` as libtorch's own interpreter runs it, within a budget: what an imported graph is compared with.
//
// The interpreter has no limits, so nodes of ours are put into the program first: one at the head of every block that
// counts the block's nodes, and one before every operator that may make a list or a text. They throw when the budget is
// spent. What is printed or warned about is taken out, and every device becomes the CPU, as in the evaluator; nothing
// else is changed.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <vector>

namespace secateur {

// Prepares every function of the module's program; to be called once, before the interpreter has seen any of it.
void put_under_budget(const torch::jit::Module& module);

// Makes every device that the program names this one, and takes out what it prints or warns about; before the
// interpreter has seen any of it.
void run_on(const torch::jit::Module& module, c10::Device device);

// The outputs in reading order. Throws Rejected when the budget is spent or the program fails.
std::vector<at::Tensor> reference_outputs(torch::jit::Module module, std::vector<c10::IValue> inputs);

}  // namespace secateur
