// Steps through a method node by node, with real values, and leaves operators to the recorder.
//
// No pass rewrites the user's code: calls step into the callee's own graph, `If` takes the branch that its condition
// selects, `Loop` runs with bounds, everything within a budget. Numbers that come from the sizes of tensors are
// followed: a branch or loop that hangs on one makes the record true for inputs of this size, and the recorder is told.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include "budget.h"
#include "recorder.h"

namespace secateur {

struct Guide;

// Returns what the method returns; `inputs` are the arguments behind `self`. A `guide` is asked what calls are to be
// given, and told where the program says something else.
c10::IValue evaluate(
    const torch::jit::Method& method, const ModuleTensors& tensors, std::vector<c10::IValue> inputs, Recorder& recorder,
    Budget& budget, Guide* guide = nullptr);

}  // namespace secateur
