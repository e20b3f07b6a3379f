// Where the source text says what the nodes of a program that is being evaluated are given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "frame.h"
#include "source.h"
#include "weights.h"

namespace secateur {

struct ProgramPlace;
enum class PlaceKind : uint8_t;

// Follows values through variables, lists, functions, their callers and attributes. `frames` are the calls that run,
// each in the one before it; nodes are those of the innermost.
class Places {
 public:
  Places(const ModuleTensors& tensors, const std::vector<Frame*>& frames) : tensors_(tensors), frames_(frames) {}

  static ProgramPlace unknown();

  // What says input `input` of a node, or one element of it.
  ProgramPlace of_input(const torch::jit::Node* node, size_t input, std::optional<size_t> element);

  // The text of input `input` itself, of the whole call that a node is, and of what it calls; nothing where it is not
  // known.
  std::optional<ProgramPlace> of_written(const torch::jit::Node* node, size_t input);
  std::optional<ProgramPlace> of_call(const torch::jit::Node* node);
  std::optional<ProgramPlace> of_callee(const torch::jit::Node* node);

 private:
  ProgramPlace locate(size_t depth, const torch::jit::Node* node, size_t input, std::optional<size_t> element);
  ProgramPlace locate_value(
      size_t depth, const torch::jit::Value* value, std::optional<size_t> element,
      const std::optional<Expression>& written);
  ProgramPlace place_of(size_t depth, PlaceKind kind, const Expression& at) const;
  ProgramPlace literal(const Expression& at) const;
  std::optional<std::string> path_of(const torch::jit::Value* object, const Frame& frame) const;
  size_t innermost() const { return frames_.size() - 1; }

  const ModuleTensors& tensors_;
  const std::vector<Frame*>& frames_;
  Sources sources_;
};

}  // namespace secateur
