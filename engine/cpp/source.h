// Where the program's text says what a call is given.
#pragma once

#include <torch/csrc/jit/frontend/source_range.h>
#include <torch/csrc/jit/frontend/tree.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace secateur {

// An expression in a source file of the archive.
struct Expression {
  enum class Kind { Number, List, Other };
  Kind kind;
  std::string record;
  size_t start;
  size_t end;
  // What parsed it, to ask for the elements of a list.
  torch::jit::TreeRef tree;
  // The argument is not written, and would have to be written here, behind the others.
  bool is_missing = false;
};

// The calls of the sources that nodes come from. Sources are parsed once.
class Sources {
 public:
  // What stands for input `input` of a node that calls something. A variable that is assigned once, a list, stands for
  // that list.
  std::optional<Expression> input(const torch::jit::Node* node, size_t input);

  // The whole call that a node is, and what it calls, `torch.view`.
  std::optional<Expression> call(const torch::jit::Node* node);
  std::optional<Expression> callee(const torch::jit::Node* node);

  std::optional<Expression> element(const torch::jit::Node* node, const Expression& list, size_t index);

 private:
  struct Text {
    std::string record;
    std::string source;
    // By the first and last byte of what is called.
    std::map<std::pair<size_t, size_t>, torch::jit::TreeRef> calls;
    // By the first byte of each function: what its variables are assigned, nothing for those that are assigned twice.
    std::map<size_t, std::map<std::string, torch::jit::TreeRef>> assigned;
  };

  const Text& text_of(const std::shared_ptr<torch::jit::Source>& source);
  static void collect(const torch::jit::TreeRef& tree, size_t function, Text& text);
  static Expression expression(const torch::jit::TreeRef& tree, std::pair<size_t, size_t> bytes, const Text& text);
  static std::optional<Expression> element_of(const torch::jit::TreeRef& list, size_t index, const Text& text);

  std::unordered_map<const torch::jit::Source*, Text> texts_;
};

}  // namespace secateur
