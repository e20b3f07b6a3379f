// What one run of a user's program may take. Whoever runs it counts here: the evaluator, and libtorch's interpreter
// through the nodes that reference.cpp puts into the program.
//
// Steps are counted as they are made. Lists, dictionaries and strings are counted by the elements and bytes that are
// made, not by those that are alive, which are never more. An operator that makes them is counted before it runs, by
// what its arguments say: `[0] * n` would take all memory in one step. Tensors have a limit of their own, see memory.h.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/ir/ir.h>

#include <optional>
#include <string>

#include "failure.h"

namespace secateur {

constexpr int64_t kMaxSteps = 2'000'000;
// Of lists and dictionaries; one takes 16 bytes.
constexpr int64_t kMaxElements = 16'000'000;
constexpr int64_t kMaxTextBytes = 64 << 20;
constexpr int64_t kMaxRecordedCalls = 100'000;
constexpr int64_t kMaxRecordBytes = 128 << 20;

class Budget {
 public:
  // `count` nodes of the program run, which make lists and tuples of `elements` in all.
  void step(int64_t count, int64_t elements);

  // An operator is about to run that may make a list, a dictionary or a text, or add to one.
  void admit(const std::string& name, c10::ArrayRef<c10::IValue> args);

  // A call is written down in so many bytes.
  void record_call(size_t bytes);

  // So many bytes are written down.
  void record(size_t bytes);

  // What was refused, if anything was: libtorch's interpreter makes another exception of it.
  const std::optional<Rejected>& refusal() const { return refusal_; }

 private:
  void take(double elements, double text);
  [[noreturn]] void refuse(const std::string& detail);

  int64_t steps_ = 0;
  double elements_ = 0;
  double text_ = 0;
  int64_t calls_ = 0;
  size_t recorded_ = 0;
  std::optional<Rejected> refusal_;
};

// Whether a node is an operator that `Budget::admit` must see.
bool may_grow(const torch::jit::Node* node);

// Elements of the list, tuple or dictionary that a node writes out.
int64_t written_elements(const torch::jit::Node* node);

}  // namespace secateur
