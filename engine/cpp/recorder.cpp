#include "recorder.h"

#include <ATen/ops/alias.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <unordered_set>

#include "failure.h"
#include "json.h"

namespace secateur {
namespace {

std::string label_of(const c10::FunctionSchema& schema) { return "`" + schema.name() + "`"; }

std::string at_source(const Place& place) {
  if (place.source.empty()) return place.module.empty() ? "" : " in `" + place.module + "`";
  return place.module.empty() ? " (" + place.source + ")" : " in `" + place.module + "` (" + place.source + ")";
}

bool is_tensor_type(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType: return true;
    case c10::TypeKind::OptionalType: return is_tensor_type(*type.expectRef<c10::OptionalType>().getElementType());
    case c10::TypeKind::ListType: return is_tensor_type(*type.expectRef<c10::ListType>().getElementType());
    default: return false;
  }
}

bool makes_tensors(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns()) {
    if (is_tensor_type(*result.type())) return true;
  }
  return false;
}

// Operators that look at a tensor's description only, never at its contents.
bool reads_description_only(const c10::FunctionSchema& schema) {
  if (schema.name().rfind("prim::", 0) == 0) return true;
  static const std::unordered_set<std::string> names = {
      "aten::size",          "aten::dim",        "aten::len",        "aten::numel",
      "aten::stride",        "aten::sym_size",   "aten::sym_numel",  "aten::is_contiguous",
      "aten::element_size",  "aten::is_complex", "aten::is_same_size", "aten::is_floating_point",
      "aten::storage_offset"};
  return names.count(schema.name()) != 0;
}

bool draws_random_numbers(const std::string& name) {
  static const std::unordered_set<std::string> names = {
      "aten::rand",      "aten::rand_like",  "aten::randn",    "aten::randn_like", "aten::randint", "aten::randperm",
      "aten::bernoulli", "aten::bernoulli_", "aten::uniform_", "aten::normal_", "aten::exponential_"};
  return names.count(name) != 0;
}

template <typename Visit>
void visit_tensors(const c10::IValue& value, Visit visit) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) visit(tensor);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toList().vec()) visit_tensors(element, visit);
  }
}

// Whether two tensors of one storage have an element in common, found by marking the elements of the one.
bool overlap(const at::Tensor& one, const at::Tensor& other) {
  if (one.numel() == 0 || other.numel() == 0) return false;
  if (one.element_size() != other.element_size()) return true;
  const auto elements = static_cast<int64_t>(one.storage().nbytes() / one.element_size());
  at::Tensor marks = at::zeros({elements}, at::kByte);
  marks.as_strided(one.sizes(), one.strides(), one.storage_offset()).fill_(1);
  return marks.as_strided(other.sizes(), other.strides(), other.storage_offset()).any().item<bool>();
}

bool is_true(const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const char* name) {
  const auto index = schema.argumentIndexWithName(name);
  return index.has_value() && args[*index].isBool() && args[*index].toBool();
}

}  // namespace

int64_t Recorder::new_value(const at::Tensor& tensor, const std::string& of) {
  values_.push_back(
      "{\"shape\":" + json::array_of(tensor.sizes(), [](int64_t size) { return json::number(size); }) +
      ",\"dtype\":" + json::quote(dtype_name(tensor.scalar_type(), of)) + "}");
  return static_cast<int64_t>(values_.size()) - 1;
}

Recorder::State& Recorder::track(const at::Tensor& tensor, int64_t value, Origin origin, bool has_data) {
  const auto [entry, is_new] =
      states_.insert_or_assign(tensor.unsafeGetTensorImpl(), State{tensor, value, origin, has_data, "", {}});
  if (is_new && tensor.has_storage()) {
    by_storage_[tensor.storage().unsafeGetStorageImpl()].push_back(tensor.unsafeGetTensorImpl());
  }
  return entry->second;
}

void Recorder::add_input(const at::Tensor& tensor) {
  const int64_t value = new_value(tensor, "input");
  inputs_.push_back(value);
  track(tensor, value, Origin::Input, true);
}

void Recorder::add_weight(const Weight& weight) {
  const at::Tensor& tensor = weight.tensor;
  std::vector<size_t>& neighbours = parameters_by_storage_[tensor.storage().unsafeGetStorageImpl()];
  for (const size_t neighbour : neighbours) {
    const ParameterEntry entry = parameters_[neighbour];
    const at::Tensor& other = entry.weight.tensor;
    const bool is_same = tensor.storage_offset() == other.storage_offset() &&
        tensor.scalar_type() == other.scalar_type() && tensor.sizes() == other.sizes() &&
        tensor.strides() == other.strides();
    if (is_same) {
      parameters_.push_back({weight, entry.value, entry.weight.name});
      track(tensor, entry.value, Origin::Weight, states_.at(other.unsafeGetTensorImpl()).has_data);
      return;
    }
  }
  neighbours.push_back(parameters_.size());
  const int64_t value = new_value(tensor, weight.name);
  parameters_.push_back({weight, value, ""});
  track(tensor, value, Origin::Weight, weight.kind == WeightKind::Parameter);
}

void Recorder::add_constant(const at::Tensor& tensor) {
  if (!tensor.defined() || states_.count(tensor.unsafeGetTensorImpl()) != 0) return;
  add_weight({"CONSTANTS.c" + std::to_string(constants_++), WeightKind::Constant, tensor});
}

Recorder::State& Recorder::state_of(const at::Tensor& tensor, const std::string& reader) {
  const auto entry = states_.find(tensor.unsafeGetTensorImpl());
  TORCH_CHECK(entry != states_.end(), reader, " reads a tensor of unknown origin");
  return entry->second;
}

int64_t Recorder::read(const at::Tensor& tensor, const std::string& reader, const Place& place) {
  const State& state = state_of(tensor, reader);
  if (!state.spoilt_by.empty()) {
    throw Rejected(
        "unsupported_model",
        reader + at_source(place) + " reads a tensor whose memory " + state.spoilt_by +
            " overwrote through another view; in-place operators on views are not supported.",
        place.node(), "replace the in-place operator by the one that returns a new tensor (`relu` for `relu_`)");
  }
  return state.value;
}

bool Recorder::literal(const c10::IValue& value, const std::string& reader, const Place& place, std::string& text) {
  const auto tagged = [&text](const char* tag, const std::string& content) {
    text = "{\"" + std::string(tag) + "\":" + content + "}";
    return true;
  };
  const auto tensor_id = [&](const c10::IValue& element) {
    return element.isNone() || !element.toTensor().defined() ? std::string("null")
                                                             : json::number(read(element.toTensor(), reader, place));
  };
  if (value.isNone() || (value.isTensor() && !value.toTensor().defined())) {
    text = "\"none\"";
    return true;
  }
  if (value.isTensor()) return tagged("tensor", tensor_id(value));
  if (value.isBool()) return tagged("bool", json::boolean(value.toBool()));
  if (value.isInt()) return tagged("int", json::number(value.toInt()));
  if (value.isDouble()) return tagged("float", json::number(value.toDouble()));
  if (value.isString()) return tagged("str", json::quote(value.toStringRef()));
  if (value.isDevice()) return tagged("device", json::quote(value.toDevice().str()));
  if (value.isIntList()) {
    return tagged("ints", json::array_of(value.toIntVector(), [](int64_t i) { return json::number(i); }));
  }
  if (value.isDoubleList()) {
    return tagged("floats", json::array_of(value.toDoubleVector(), [](double d) { return json::number(d); }));
  }
  if (value.isBoolList()) {
    return tagged("bools", json::array_of(value.toBoolList().vec(), [](bool b) { return json::boolean(b); }));
  }
  if (value.isList()) {
    const std::vector<c10::IValue> elements = value.toList().vec();
    for (const c10::IValue& element : elements) {
      if (!element.isNone() && !element.isTensor()) return false;
    }
    return tagged("tensors", json::array_of(elements, tensor_id));
  }
  return false;
}

void Recorder::check_write(const at::Tensor& written, const std::string& writer, const Place& place) {
  const auto refuse = [&](const State& state) {
    const bool is_input = state.origin == Origin::Input;
    throw Rejected(
        "unsupported_model",
        writer + at_source(place) + " writes in place into " + (is_input ? "an input of the model" : "a weight of the model") +
            ", which is not supported.",
        place.node(), is_input ? "copy the input first (`x = x.clone()`)" : "call model.eval() before torch.jit.trace");
  };
  State& own = state_of(written, writer);
  if (own.origin != Origin::Computed) refuse(own);
  if (!written.has_storage()) return;
  for (const c10::TensorImpl* impl : by_storage_[written.storage().unsafeGetStorageImpl()]) {
    const State& state = states_.at(impl);
    if (state.origin != Origin::Computed && overlap(written, state.tensor)) refuse(state);
  }
}

void Recorder::spoil_views(const at::Tensor& written, const std::string& writer) {
  if (!written.has_storage()) return;
  for (const c10::TensorImpl* impl : by_storage_[written.storage().unsafeGetStorageImpl()]) {
    State& state = states_.at(impl);
    if (impl == written.unsafeGetTensorImpl() || !state.spoilt_by.empty()) continue;
    if (overlap(written, state.tensor)) state.spoilt_by = writer;
  }
}

Recorder::Part Recorder::part_of(const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args) {
  const bool is_slice = schema.name() == "aten::slice" && schema.overload_name() == "Tensor";
  const bool is_index = schema.name() == "aten::select" && schema.overload_name() == "int";
  if (!is_slice && !is_index) return {};
  const at::Tensor whole = args[0].toTensor();
  const int64_t dim = args[1].toInt() < 0 ? args[1].toInt() + whole.dim() : args[1].toInt();
  const int64_t size = whole.size(dim);
  const auto inside = [size](int64_t index) { return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size); };
  if (is_index) {
    const int64_t index = inside(args[2].toInt());
    return {whole, dim, index, index + 1, true};
  }
  if (args[4].toInt() != 1) return {};
  const int64_t start = args[2].isNone() ? 0 : inside(args[2].toInt());
  const int64_t end = args[3].isNone() ? size : std::max(start, inside(args[3].toInt()));
  return {whole, dim, start, end, false};
}

std::vector<Recorder::Part> Recorder::wholes_of(const at::Tensor& written) {
  std::vector<Part> wholes;
  const State* state = &states_.at(written.unsafeGetTensorImpl());
  while (state->part.whole.defined()) {
    wholes.push_back(state->part);
    state = &states_.at(state->part.whole.unsafeGetTensorImpl());
    if (!state->spoilt_by.empty()) return {};
  }
  return wholes;
}

int64_t Recorder::record(
    const std::string& op, const std::string& overload, const std::vector<std::pair<std::string, std::string>>& args,
    const at::Tensor& result, const Place& place) {
  const int64_t value = new_value(result, op);
  nodes_.push_back(
      "{\"op\":" + json::quote(op) + ",\"overload\":" + json::quote(overload) + ",\"args\":" +
      json::array_of(args, [](const std::pair<std::string, std::string>& arg) {
        return "{\"name\":" + json::quote(arg.first) + ",\"value\":" + arg.second + "}";
      }) +
      ",\"module\":" + json::quote(place.module) + ",\"source\":" + json::quote(place.source) +
      ",\"outputs\":[" + json::number(value) + "]}");
  return value;
}

// The new contents of each whole: what lies before the written part, the part, what lies behind it.
void Recorder::put_together(at::Tensor written, const std::vector<Part>& wholes, const Place& place) {
  const auto number = [](int64_t value) { return "{\"int\":" + json::number(value) + "}"; };
  const auto tensor = [](int64_t value) { return "{\"tensor\":" + json::number(value) + "}"; };
  for (const Part& part : wholes) {
    const State& piece = states_.at(written.unsafeGetTensorImpl());
    State& whole = states_.at(part.whole.unsafeGetTensorImpl());
    std::vector<int64_t> pieces;
    const auto keep = [&](int64_t start, int64_t end) {
      if (start == end) return;
      pieces.push_back(record(
          "aten::slice", "Tensor",
          {{"self", tensor(whole.value)}, {"dim", number(part.dim)}, {"start", number(start)}, {"end", number(end)},
           {"step", number(1)}},
          whole.tensor.slice(part.dim, start, end), place));
    };
    keep(0, part.start);
    pieces.push_back(
        part.is_index ? record(
                            "aten::unsqueeze", "", {{"self", tensor(piece.value)}, {"dim", number(part.dim)}},
                            piece.tensor.unsqueeze(part.dim), place)
                      : piece.value);
    keep(part.end, whole.tensor.size(part.dim));
    const std::string list =
        "{\"tensors\":" + json::array_of(pieces, [](int64_t value) { return json::number(value); }) + "}";
    whole.value = record("aten::cat", "", {{"tensors", list}, {"dim", number(part.dim)}}, whole.tensor, place);
    whole.has_data |= piece.has_data;
    whole.spoilt_by.clear();
    written = part.whole;
  }
}

// Operators that are allowed as code but must not be reached in evaluation.
void Recorder::check_behaviour(
    const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const std::string& label,
    const Place& place) {
  if (draws_random_numbers(schema.name())) {
    throw Rejected(
        "unsupported_model",
        label + at_source(place) + " draws random numbers although the model is in evaluation mode.", place.node(),
        "make the randomness depend on `self.training`");
  }
  const bool drops = is_true(schema, args, "train") && schema.name().find("dropout") != std::string::npos;
  const auto mean = schema.argumentIndexWithName("running_mean");
  const bool has_statistics = mean.has_value() && !args[*mean].isNone();
  const bool updates =
      has_statistics && (is_true(schema, args, "training") || is_true(schema, args, "use_input_stats"));
  if (drops || updates) {
    throw Rejected(
        "unsupported_model", label + at_source(place) + " is fixed in training mode.", place.node(),
        "call model.eval() before torch.jit.trace");
  }
  if (schema.name() == "aten::index" || schema.name().rfind("aten::index_put", 0) == 0) {
    visit_tensors(args[1], [&](const at::Tensor& index) {
      const bool is_mask = index.scalar_type() == at::kBool || index.scalar_type() == at::kByte;
      if (is_mask && state_of(index, label).has_data) {
        throw Rejected(
            "unsupported_model",
            label + at_source(place) + " selects by a mask that depends on the data, so its shape does too.",
            place.node(), "use torch.where, or multiply by the mask");
      }
    });
  }
}

void Recorder::call(
    const c10::FunctionSchema& schema, const std::function<void(c10::Stack&)>& kernel, c10::Stack& stack,
    const Place& place) {
  const std::string label = label_of(schema);
  const std::vector<c10::IValue> args(stack.end() - schema.arguments().size(), stack.end());
  const bool recorded = makes_tensors(schema);

  bool has_data = false;
  for (size_t index = 0; index < args.size(); ++index) {
    if (!is_tensor_type(*schema.arguments()[index].type())) continue;
    visit_tensors(args[index], [&](const at::Tensor& tensor) { has_data |= state_of(tensor, label).has_data; });
  }
  if (!recorded && has_data && !reads_description_only(schema)) {
    throw Rejected(
        "unsupported_model",
        label + at_source(place) + " makes a number of the contents of a tensor, so what the model computes would depend "
        "on the data.", place.node(), "replace control flow on data by torch.where or masks");
  }

  std::vector<at::Tensor> written;
  std::string node;
  bool has_wire_form = true;
  if (recorded) {
    check_behaviour(schema, args, label, place);
    std::vector<std::string> literals;
    for (size_t index = 0; index < args.size(); ++index) {
      const c10::Argument& argument = schema.arguments()[index];
      if (argument.alias_info() != nullptr && argument.alias_info()->isWrite()) {
        visit_tensors(args[index], [&](const at::Tensor& tensor) {
          check_write(tensor, label, place);
          written.push_back(tensor);
        });
      }
      std::string value;
      has_wire_form &= literal(args[index], label, place, value);
      literals.push_back(
          "{\"name\":" + json::quote(argument.name()) + (argument.kwarg_only() ? ",\"keyword\":true" : "") +
          ",\"value\":" + value + "}");
    }
    if (!has_wire_form && (has_data || !written.empty())) {
      throw Rejected(
          "unsupported_model", label + at_source(place) + " has an argument of a kind that is not supported.",
          place.node());
    }
    node = "{\"op\":" + json::quote(schema.name()) + ",\"overload\":" + json::quote(schema.overload_name()) +
        ",\"args\":" + json::array(literals) + ",\"module\":" + json::quote(place.module) +
        ",\"source\":" + json::quote(place.source);
  }

  try {
    kernel(stack);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    throw Rejected(
        "input_shape", label + at_source(place) + " fails: " + first_line(current_message()), place.node());
  }
  if (!recorded) return;

  std::vector<std::vector<Part>> wholes;
  for (const at::Tensor& tensor : written) {
    wholes.push_back(wholes_of(tensor));
    spoil_views(tensor, label);
  }
  const Part part = part_of(schema, args);
  std::vector<std::string> outputs;
  bool is_list = false;
  const auto produce = [&](at::Tensor tensor) {
    TORCH_CHECK(tensor.defined(), label, " returns no tensor");
    const auto entry = states_.find(tensor.unsafeGetTensorImpl());
    if (entry != states_.end()) {
      bool in_place = false;
      for (const at::Tensor& target : written) in_place |= target.is_same(tensor);
      if (!in_place) tensor = at::alias(tensor);
    }
    if (has_wire_form) {
      const int64_t value = new_value(tensor, schema.name());
      outputs.push_back(json::number(value));
      // A tensor that was written in place is still the part that it was.
      const Part kept = entry == states_.end() ? part : entry->second.part;
      track(tensor, value, Origin::Computed, has_data).part = kept;
    } else {
      add_constant(tensor);
    }
    return tensor;
  };
  for (auto result = stack.end() - schema.returns().size(); result != stack.end(); ++result) {
    if (result->isTensor()) {
      *result = produce(result->toTensor());
    } else if (result->isTensorList() && schema.returns().size() == 1) {
      is_list = true;
      c10::List<at::Tensor> tensors;
      for (const at::Tensor& tensor : result->toTensorVector()) tensors.push_back(produce(tensor));
      *result = tensors;
    } else {
      throw Rejected(
          "unsupported_model", label + at_source(place) + " returns something else besides tensors.", place.node());
    }
  }
  if (has_wire_form) {
    nodes_.push_back(node + ",\"outputs\":" + json::array(outputs) + (is_list ? ",\"list\":true" : "") + "}");
  }
  for (size_t index = 0; index < written.size(); ++index) put_together(written[index], wholes[index], place);
}

at::Tensor Recorder::scalar_tensor(const c10::IValue& number, const Place& place) {
  const at::Scalar scalar = number.toScalar();
  const at::Tensor tensor = at::scalar_tensor(scalar, scalar.type());
  std::string value;
  literal(number, "`prim::NumToTensor`", place, value);
  const int64_t output = new_value(tensor, "prim::NumToTensor");
  const auto keyword = [](const char* name, const std::string& content) {
    return ",{\"name\":\"" + std::string(name) + "\",\"keyword\":true,\"value\":" + content + "}";
  };
  nodes_.push_back(
      "{\"op\":\"aten::scalar_tensor\",\"overload\":\"\",\"args\":[{\"name\":\"s\",\"value\":" + value + "}" +
      keyword("dtype", "{\"int\":" + json::number(static_cast<int64_t>(scalar.type())) + "}") +
      keyword("layout", "\"none\"") + keyword("device", "{\"device\":\"cpu\"}") + keyword("pin_memory", "\"none\"") +
      "],\"module\":" + json::quote(place.module) + ",\"source\":" + json::quote(place.source) +
      ",\"outputs\":[" + json::number(output) + "]}");
  track(tensor, output, Origin::Computed, false);
  return tensor;
}

std::string Recorder::output_json(const c10::IValue& output, size_t depth) {
  const auto part = [&](const c10::IValue& element) { return output_json(element, depth + 1); };
  if (depth > 20) throw Rejected("unsupported_model", "The model's output is nested more than 20 deep.");
  if (output.isTensor() && output.toTensor().defined()) {
    return "{\"tensor\":" + json::number(read(output.toTensor(), "the output", Place{})) + "}";
  }
  if (output.isTuple()) return "{\"tuple\":" + json::array_of(output.toTupleRef().elements(), part) + "}";
  if (output.isList()) return "{\"list\":" + json::array_of(output.toList().vec(), part) + "}";
  if (output.isGenericDict()) {
    std::vector<std::string> entries;
    for (const auto& entry : output.toGenericDict()) {
      if (!entry.key().isString()) {
        throw Rejected("unsupported_model", "The model returns a dictionary whose keys are no strings.");
      }
      entries.push_back("[" + json::quote(entry.key().toStringRef()) + "," + part(entry.value()) + "]");
    }
    return "{\"dict\":" + json::array(entries) + "}";
  }
  throw Rejected(
      "unsupported_model",
      "The model returns a value of type " + output.type()->repr_str() +
          "; only tensors, and tuples, lists and dictionaries of them, are supported.",
      "", "wrap the model so that `forward` returns tensors only");
}

void Recorder::set_output(const c10::IValue& output) { output_ = output_json(output, 0); }

std::string Recorder::json() const {
  const auto parameter = [](const ParameterEntry& entry) {
    const char* kinds[] = {"parameter", "buffer", "constant"};
    const bool requires_grad = entry.weight.tensor.requires_grad();
    return "{\"name\":" + json::quote(entry.weight.name) + ",\"kind\":\"" + kinds[static_cast<int>(entry.weight.kind)] +
        "\",\"value\":" + json::number(entry.value) + ",\"requires_grad\":" + json::boolean(requires_grad) +
        (entry.tied_to.empty() ? "" : ",\"tied_to\":" + json::quote(entry.tied_to)) + "}";
  };
  return "{\"values\":" + json::array(values_) +
      ",\"inputs\":" + json::array_of(inputs_, [](int64_t value) { return json::number(value); }) +
      ",\"parameters\":" + json::array_of(parameters_, parameter) + ",\"nodes\":" + json::array(nodes_) +
      ",\"output\":" + output_ + "}";
}

std::vector<at::Tensor> Recorder::weights() const {
  std::vector<at::Tensor> tensors;
  for (const ParameterEntry& entry : parameters_) tensors.push_back(entry.weight.tensor);
  return tensors;
}

}  // namespace secateur
