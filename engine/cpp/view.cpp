#include "view.h"

#include <numeric>

#include "json.h"

namespace secateur {
namespace {

std::string integer(int64_t value) { return "{\"int\":" + json::number(value) + "}"; }

std::string integers(const std::vector<int64_t>& values) {
  return "{\"ints\":" + json::array_of(values, [](int64_t value) { return json::number(value); }) + "}";
}

bool same_dimension(const at::Tensor& one, int64_t dim, const at::Tensor& other, int64_t other_dim) {
  // The stride of a single element says nothing.
  return one.size(dim) == other.size(other_dim) && (one.size(dim) == 1 || one.stride(dim) == other.stride(other_dim));
}

// Some of the indices of one dimension.
std::optional<View> slice_of(const at::Tensor& view, const at::Tensor& base) {
  if (view.dim() != base.dim()) return std::nullopt;
  int64_t cut = -1;
  for (int64_t dim = 0; dim < base.dim(); ++dim) {
    if (same_dimension(view, dim, base, dim)) continue;
    if (cut != -1) return std::nullopt;
    cut = dim;
  }
  if (cut == -1 || base.stride(cut) <= 0) return std::nullopt;
  const int64_t offset = view.storage_offset() - base.storage_offset();
  const int64_t step = view.size(cut) == 1 ? 1 : view.stride(cut) / base.stride(cut);
  const int64_t start = offset / base.stride(cut);
  const int64_t end = start + (view.size(cut) - 1) * step + 1;
  const bool fits = offset % base.stride(cut) == 0 && start >= 0 && step > 0 && end <= base.size(cut) &&
      (view.size(cut) == 1 || view.stride(cut) == step * base.stride(cut));
  if (!fits) return std::nullopt;
  const std::vector<std::pair<std::string, std::string>> range = {
      {"dim", integer(cut)}, {"start", integer(start)}, {"end", integer(end)}, {"step", integer(step)}};
  const ViewCall take{"aten::slice", "Tensor", range};
  if (step == 1) return View{take, std::nullopt, true, ViewRange{cut, start, end, false}};
  return View{take, ViewCall{"aten::slice_scatter", "", range}, true};
}

// One index of one dimension, which is gone.
std::optional<View> select_of(const at::Tensor& view, const at::Tensor& base) {
  if (view.dim() + 1 != base.dim()) return std::nullopt;
  const int64_t offset = view.storage_offset() - base.storage_offset();
  for (int64_t gone = 0; gone < base.dim(); ++gone) {
    bool fits = base.stride(gone) > 0 && offset % base.stride(gone) == 0 && offset / base.stride(gone) >= 0 &&
        offset / base.stride(gone) < base.size(gone);
    for (int64_t dim = 0; dim < view.dim(); ++dim) {
      fits = fits && same_dimension(view, dim, base, dim < gone ? dim : dim + 1);
    }
    if (!fits) continue;
    const std::vector<std::pair<std::string, std::string>> place = {
        {"dim", integer(gone)}, {"index", integer(offset / base.stride(gone))}};
    const int64_t index = offset / base.stride(gone);
    return View{ViewCall{"aten::select", "int", place}, std::nullopt, true, ViewRange{gone, index, index + 1, true}};
  }
  return std::nullopt;
}

// The dimensions in another order.
std::optional<View> permutation_of(const at::Tensor& view, const at::Tensor& base) {
  if (view.dim() != base.dim()) return std::nullopt;
  std::vector<int64_t> order;
  std::vector<int64_t> inverse(base.dim(), -1);
  for (int64_t dim = 0; dim < view.dim(); ++dim) {
    for (int64_t from = 0; from < base.dim(); ++from) {
      if (inverse[from] == -1 && same_dimension(view, dim, base, from)) {
        inverse[from] = dim;
        order.push_back(from);
        break;
      }
    }
    if (static_cast<int64_t>(order.size()) != dim + 1) return std::nullopt;
  }
  return View{
      ViewCall{"aten::permute", "", {{"dims", integers(order)}}},
      ViewCall{"aten::permute", "", {{"dims", integers(inverse)}}}, false};
}

View reshape_of(const at::Tensor& view, const at::Tensor& base) {
  return View{
      ViewCall{"aten::reshape", "", {{"shape", integers(view.sizes().vec())}}},
      ViewCall{"aten::reshape", "", {{"shape", integers(base.sizes().vec())}}}, false};
}

}  // namespace

std::optional<View> View::of(const at::Tensor& view, const at::Tensor& base) {
  if (view.scalar_type() != base.scalar_type()) return std::nullopt;
  if (view.numel() == base.numel() && view.storage_offset() == base.storage_offset()) {
    if (view.sizes() == base.sizes() && view.strides() == base.strides())
      return View{std::nullopt, std::nullopt, false};
    if (view.is_contiguous() && base.is_contiguous()) return reshape_of(view, base);
    return permutation_of(view, base);
  }
  if (auto slice = slice_of(view, base)) return slice;
  return select_of(view, base);
}

}  // namespace secateur
