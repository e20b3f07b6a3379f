// How a view lies in the tensor that it was taken of: one call that takes it, and one that puts it back.
//
// It is read off sizes and strides alone, so it does not matter by which operator the view was made. With it the
// recorder says a write into a view as a computation: the base with the written view put back is a new value.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace secateur {

// An operator with its arguments behind the tensors: name and JSON of the literal.
struct ViewCall {
  std::string op;
  std::string overload;
  std::vector<std::pair<std::string, std::string>> literals;
};

// Adjacent indices of one dimension; of a single one the dimension may be gone in the view.
struct ViewRange {
  int64_t dim;
  int64_t start;
  int64_t end;
  bool is_index;
};

struct View {
  // Empty when the view shows the very elements of its base in their places.
  std::optional<ViewCall> take;
  // Of the base and the written view when `keeps_rest`, else of the written view alone.
  std::optional<ViewCall> put_back;
  bool keeps_rest = false;
  // Instead of `put_back`: the base is what lies before the range, the view, and what lies behind it.
  std::optional<ViewRange> range = std::nullopt;

  // Nothing when no single call says it (diagonals, expanded tensors).
  static std::optional<View> of(const at::Tensor& view, const at::Tensor& base);
};

}  // namespace secateur
