// What a write in place means for the tensors that share the written memory; see recorder.h.

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "failure.h"
#include "json.h"
#include "operators.h"
#include "recorder.h"
#include "view.h"

namespace secateur {
namespace {

// Whether two tensors of one storage have an element in common, found by marking the elements of the one.
bool overlap(const at::Tensor& one, const at::Tensor& other) {
  if (one.numel() == 0 || other.numel() == 0) return false;
  if (one.element_size() != other.element_size()) return true;
  const auto elements = static_cast<int64_t>(one.storage().nbytes() / one.element_size());
  at::Tensor marks = at::zeros({elements}, at::kByte);
  marks.as_strided(one.sizes(), one.strides(), one.storage_offset()).fill_(1);
  return marks.as_strided(other.sizes(), other.strides(), other.storage_offset()).any().item<bool>();
}

}  // namespace

void Recorder::check_write(const at::Tensor& written, const std::string& writer, const Place& place) {
  const auto refuse = [&](const State& state) {
    const bool is_input = state.origin == Origin::Input;
    const auto weight = std::find_if(parameters_.begin(), parameters_.end(), [&](const ParameterEntry& entry) {
      return entry.value == state.value;
    });
    const std::string name = weight == parameters_.end() ? "a weight" : "`" + weight->weight.name + "`";
    throw Rejected(
        "unsupported_model",
        writer + place.text() + " writes in place into " + (is_input ? "an input" : name) +
            " of the model, which is not supported.",
        place.node(),
        is_input
            ? "Copy the input first (`x = x.clone()`)."
            : "Call model.eval() before torch.jit.trace; where the program counts or keeps something there, let it assign a new "
              "tensor (`self.count = self.count + 1`).");
  };
  State& own = state_of(written, writer);
  if (own.origin != Origin::Computed) refuse(own);
  if (!written.has_storage()) return;
  for (const c10::TensorImpl* impl : by_storage_[written.storage().unsafeGetStorageImpl()]) {
    const State& state = states_.at(impl);
    if (state.origin != Origin::Computed && overlap(written, state.tensor)) refuse(state);
  }
}

std::string Recorder::operator_of_write(const c10::FunctionSchema& schema, const at::Tensor& written) {
  const std::string& name = schema.name();
  if (!state_of(written, name).base.defined() || name.back() != '_') return name;
  // On a view the operator that returns a new tensor is recorded; what it does to the base is put back afterwards.
  const std::string functional = name.substr(0, name.size() - 1);
  const auto found = c10::Dispatcher::singleton().findSchema({functional, schema.overload_name()});
  const bool is_same_call = found.has_value() && found->schema().arguments().size() == schema.arguments().size() &&
      is_allowed_operator(functional, schema.overload_name());
  return is_same_call ? functional : name;
}

void Recorder::read_bases(const at::Tensor& written, bool has_data, const std::string& writer, const Place& place) {
  for (at::Tensor base = state_of(written, writer).base; base.defined(); base = state_of(base, writer).base) {
    if (has_data || state_of(base, writer).has_data) read(base, writer, place);
  }
}

void Recorder::finish_write(const at::Tensor& written, const std::string& writer, const Place& place) {
  std::unordered_set<const c10::TensorImpl*> current = {written.unsafeGetTensorImpl()};
  at::Tensor view = written;
  for (at::Tensor above = state_of(view, writer).base; above.defined(); above = state_of(view, writer).base) {
    State& base = state_of(above, writer);
    base.has_data |= state_of(view, writer).has_data;
    // What no input reaches is read off the memory when it is wanted.
    if (!base.has_data) break;
    const auto geometry = View::of(view, base.tensor);
    if (!geometry) {
      forget_bases(view, writer);
      break;
    }
    base.value = put_back(*geometry, base, state_of(view, writer).value, place);
    base.overwritten_by.clear();
    current.insert(base.tensor.unsafeGetTensorImpl());
    view = base.tensor;
  }
  if (!written.has_storage()) return;
  for (const c10::TensorImpl* impl : by_storage_[written.storage().unsafeGetStorageImpl()]) {
    State& state = states_.at(impl);
    if (current.count(impl) != 0 || !overlap(written, state.tensor)) continue;
    state.overwritten_by = writer;
    state.has_data |= state_of(written, writer).has_data;
  }
}

void Recorder::forget_bases(const at::Tensor& view, const std::string& writer) {
  for (at::Tensor tensor = state_of(view, writer).base; tensor.defined();) {
    State& base = state_of(tensor, writer);
    base.overwritten_by = writer;
    tensor = std::exchange(base.base, at::Tensor());
  }
}

int64_t Recorder::put_back(const View& geometry, const State& base, int64_t view, const Place& place) {
  if (geometry.range) return put_together(*geometry.range, base, view, place);
  if (!geometry.put_back) return view;
  if (geometry.keeps_rest) return record(*geometry.put_back, {{"self", base.value}, {"src", view}}, base.tensor, place);
  return record(*geometry.put_back, {{"self", view}}, base.tensor, place);
}

// What channel rules follow: a concatenation of what lies before, the part, and what lies behind it.
int64_t Recorder::put_together(const ViewRange& range, const State& base, int64_t part, const Place& place) {
  const auto number = [](int64_t value) { return "{\"int\":" + json::number(value) + "}"; };
  std::vector<int64_t> pieces;
  const auto keep = [&](int64_t start, int64_t end) {
    if (start == end) return;
    const ViewCall slice{
        "aten::slice",
        "Tensor",
        {{"dim", number(range.dim)}, {"start", number(start)}, {"end", number(end)}, {"step", number(1)}}};
    pieces.push_back(record(slice, {{"self", base.value}}, base.tensor.slice(range.dim, start, end), place));
  };
  keep(0, range.start);
  const at::Tensor written = base.tensor.slice(range.dim, range.start, range.end);
  pieces.push_back(
      range.is_index ? record({"aten::unsqueeze", "", {{"dim", number(range.dim)}}}, {{"self", part}}, written, place)
                     : part);
  keep(range.end, base.tensor.size(range.dim));
  const std::string tensors =
      "{\"tensors\":" + json::array_of(pieces, [](int64_t piece) { return json::number(piece); }) + "}";
  return record({"aten::cat", "", {{"tensors", tensors}, {"dim", number(range.dim)}}}, {}, base.tensor, place);
}

void Recorder::renew(State& state, const std::string& reader, const Place& place) {
  if (!state.has_data) {
    // The same for every input, so a constant says it.
    state.value = add_constant(state.tensor.clone());
  } else {
    const auto geometry = state.base.defined() ? View::of(state.tensor, state.base) : std::nullopt;
    if (!geometry) {
      throw Rejected(
          "unsupported_model",
          reader + place.text() + " reads a tensor whose memory " + state.overwritten_by +
              " overwrote through a view of it that is neither a slice nor a reordering; that is not supported.",
          place.node(), "Replace the in-place operator by the one that returns a new tensor (`relu` for `relu_`).");
    }
    const int64_t base = read(state.base, reader, place);
    state.value = geometry->take ? record(*geometry->take, {{"self", base}}, state.tensor, place) : base;
  }
  state.overwritten_by.clear();
}

int64_t Recorder::record(
    const ViewCall& call, const std::vector<std::pair<std::string, int64_t>>& tensors, const at::Tensor& result,
    const Place& place) {
  const int64_t value = new_value(result, call.op);
  const auto argument = [](const std::string& name, const std::string& literal) {
    return "{\"name\":" + json::quote(name) + ",\"value\":" + literal + "}";
  };
  std::vector<std::string> args;
  for (const auto& [name, tensor] : tensors)
    args.push_back(argument(name, "{\"tensor\":" + json::number(tensor) + "}"));
  for (const auto& [name, literal] : call.literals) args.push_back(argument(name, literal));
  add_node(
      "{\"op\":" + json::quote(call.op) + ",\"overload\":" + json::quote(call.overload) +
      ",\"args\":" + json::array(args) + place.json() + ",\"outputs\":[" + json::number(value) + "]}");
  return value;
}

}  // namespace secateur
