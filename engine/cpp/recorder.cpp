#include "recorder.h"

#include <ATen/ops/alias.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <unordered_set>

#include "failure.h"
#include "json.h"
#include "memory.h"
#include "operators.h"
#include "shortcut.h"
#include "tensors.h"

namespace secateur {
namespace {

constexpr size_t kMaxListInCall = 100'000;
constexpr size_t kMaxViews = 1000;

std::string label_of(const c10::FunctionSchema& schema) { return "`" + schema.name() + "`"; }

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
      "aten::size",          "aten::dim",        "aten::len",          "aten::numel",
      "aten::stride",        "aten::sym_size",   "aten::sym_numel",    "aten::is_contiguous",
      "aten::element_size",  "aten::is_complex", "aten::is_same_size", "aten::is_floating_point",
      "aten::storage_offset"};
  return names.count(schema.name()) != 0;
}

bool draws_random_numbers(const std::string& name) {
  static const std::unordered_set<std::string> names = {"aten::rand",       "aten::rand_like",   "aten::randn",
                                                        "aten::randn_like", "aten::randint",     "aten::randperm",
                                                        "aten::bernoulli",  "aten::bernoulli_",  "aten::uniform_",
                                                        "aten::normal_",    "aten::exponential_"};
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

bool is_true(const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const char* name) {
  const auto index = schema.argumentIndexWithName(name);
  return index.has_value() && args[*index].isBool() && args[*index].toBool();
}

// Operators that make a tensor like another one, with contents of their own.
bool makes_contents(const std::string& name) {
  static const std::unordered_set<std::string> names = {"aten::zeros_like", "aten::ones_like", "aten::full_like",
                                                        "aten::empty_like", "aten::new_zeros", "aten::new_ones",
                                                        "aten::new_full",   "aten::new_empty"};
  return names.count(name) != 0;
}

}  // namespace

std::string Place::text() const {
  if (source.empty()) return module.empty() ? "" : " in `" + module + "`";
  return module.empty() ? " (" + source + ")" : " in `" + module + "` (" + source + ")";
}

std::string Place::json() const { return ",\"module\":" + json::quote(module) + ",\"source\":" + json::quote(source); }

int64_t Recorder::new_value(const at::Tensor& tensor, const std::string& of) {
  values_.push_back(
      "{\"shape\":" + json::array_of(tensor.sizes(), [](int64_t size) { return json::number(size); }) +
      ",\"dtype\":" + json::quote(dtype_name(tensor.scalar_type(), of)) + "}");
  budget_.record(values_.back().size());
  return static_cast<int64_t>(values_.size()) - 1;
}

void Recorder::add_node(std::string node) {
  budget_.record_call(node.size());
  nodes_.push_back(std::move(node));
}

Recorder::State& Recorder::track(const at::Tensor& tensor, int64_t value, Origin origin, bool has_data) {
  const auto [entry, is_new] =
      states_.insert_or_assign(tensor.unsafeGetTensorImpl(), State{tensor, value, origin, has_data, {}, 0, ""});
  if (is_new && tensor.has_storage()) {
    by_storage_[tensor.storage().unsafeGetStorageImpl()].push_back(tensor.unsafeGetTensorImpl());
  }
  if (is_new && origin == Origin::Computed) computed_.push_back(tensor.unsafeGetTensorImpl());
  return entry->second;
}

void Recorder::forget_unreachable() {
  // Newest first: a view lets go of its base.
  for (auto impl = computed_.rbegin(); impl != computed_.rend(); ++impl) {
    const auto entry = states_.find(*impl);
    const at::Tensor& tensor = entry->second.tensor;
    if (tensor.use_count() > 1) continue;
    if (tensor.has_storage()) {
      const auto sharers = by_storage_.find(tensor.storage().unsafeGetStorageImpl());
      sharers->second.erase(std::find(sharers->second.begin(), sharers->second.end(), *impl));
      if (sharers->second.empty()) by_storage_.erase(sharers);
    }
    states_.erase(entry);
    *impl = nullptr;
  }
  computed_.erase(std::remove(computed_.begin(), computed_.end(), nullptr), computed_.end());
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

int64_t Recorder::add_constant(const at::Tensor& tensor) {
  budget_.record_call(0);
  add_weight({"CONSTANTS.c" + std::to_string(constants_++), WeightKind::Constant, tensor});
  return parameters_.back().value;
}

void Recorder::know_constant(const at::Tensor& tensor) {
  if (tensor.defined() && states_.count(tensor.unsafeGetTensorImpl()) == 0) add_constant(tensor);
}

void Recorder::name_constant(const at::Tensor& tensor, const std::string& name) {
  const auto state = states_.find(tensor.unsafeGetTensorImpl());
  if (state != states_.end()) constant_names_.emplace(state->second.value, name);
}

Recorder::State& Recorder::state_of(const at::Tensor& tensor, const std::string& reader) {
  const auto entry = states_.find(tensor.unsafeGetTensorImpl());
  TORCH_CHECK(entry != states_.end(), reader, " reads a tensor of unknown origin");
  return entry->second;
}

int64_t Recorder::read(const at::Tensor& tensor, const std::string& reader, const Place& place) {
  State& state = state_of(tensor, reader);
  if (!state.overwritten_by.empty()) renew(state, reader, place);
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
  if (value.isList() && value.toListRef().size() > kMaxListInCall) {
    throw Rejected(
        "unsupported_model",
        reader + place.text() + " is called with a list of " + std::to_string(value.toListRef().size()) +
            " elements; at most " + std::to_string(kMaxListInCall) + " are allowed.",
        place.node());
  }
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

// libtorch reads beyond the weights of a recurrent layer whose input has other features than they are for.
void Recorder::check_recurrent(
    const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const std::string& label,
    const Place& place) {
  static const std::unordered_set<std::string> names = {"aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"};
  const auto params = schema.argumentIndexWithName("params");
  if (names.count(schema.name()) == 0 || !params || !args[*params].isTensorList()) return;
  const std::vector<at::Tensor> weights = args[*params].toTensorVector();
  const at::Tensor input = args[0].toTensor();
  if (weights.empty() || weights[0].dim() != 2 || input.dim() == 0 || input.size(-1) == weights[0].size(1)) return;
  throw Rejected(
      "input_shape",
      label + place.text() + " is given " + std::to_string(input.size(-1)) + " features; its weights are for " +
          std::to_string(weights[0].size(1)) + ".",
      place.node());
}

// Operators that are allowed as code but must not be reached in evaluation.
void Recorder::check_behaviour(
    const c10::FunctionSchema& schema, const std::vector<c10::IValue>& args, const std::string& label,
    const Place& place) {
  if (draws_random_numbers(schema.name())) {
    throw Rejected(
        "unsupported_model", label + place.text() + " draws random numbers although the model is in evaluation mode.",
        place.node(), "Make the randomness depend on `self.training`.");
  }
  // Part of the check of operators: those on the list with `out` are there for branches that no model takes.
  if (!allows_every_operator() && schema.argumentIndexWithName("out").has_value() && schema.is_mutable()) {
    throw Rejected(
        "unsupported_model", label + place.text() + " writes its result into a tensor that it is given (`out=`).",
        place.node(), "Use what the operator returns instead.");
  }
  check_recurrent(schema, args, label, place);
  const bool drops = is_true(schema, args, "train") && schema.name().find("dropout") != std::string::npos;
  const auto mean = schema.argumentIndexWithName("running_mean");
  const bool has_statistics = mean.has_value() && !args[*mean].isNone();
  const bool updates =
      has_statistics && (is_true(schema, args, "training") || is_true(schema, args, "use_input_stats"));
  if (drops || updates) {
    throw Rejected(
        "unsupported_model", label + place.text() + " is fixed in training mode.", place.node(),
        "Call model.eval() before torch.jit.trace.");
  }
  if (schema.name() == "aten::index" || schema.name().rfind("aten::index_put", 0) == 0) {
    visit_tensors(args[1], [&](const at::Tensor& index) {
      const bool is_mask = index.scalar_type() == at::kBool || index.scalar_type() == at::kByte;
      if (is_mask && state_of(index, label).has_data) {
        throw Rejected(
            "unsupported_model",
            label + place.text() + " selects by a mask that depends on the data, so its shape does too.", place.node(),
            "Use torch.where, or multiply by the mask.");
      }
    });
  }
}

void Recorder::call(
    const c10::FunctionSchema& schema, const std::function<void(c10::Stack&)>& kernel, c10::Stack& stack,
    const Place& place) {
  forget_unreachable();
  const std::string label = label_of(schema);
  std::vector<c10::IValue> args(stack.end() - schema.arguments().size(), stack.end());
  const bool recorded = makes_tensors(schema);

  bool has_data = false;
  for (size_t index = 0; index < args.size(); ++index) {
    if (!is_tensor_type(*schema.arguments()[index].type())) continue;
    visit_tensors(args[index], [&](const at::Tensor& tensor) { has_data |= state_of(tensor, label).has_data; });
  }
  has_data = has_data && !makes_contents(schema.name());
  if (!recorded && has_data && !reads_description_only(schema)) {
    throw Rejected(
        "unsupported_model",
        label + place.text() +
            " makes a number of the contents of a tensor, so what the model computes would depend "
            "on the data.",
        place.node(), "Replace control flow on data by torch.where or masks.");
  }

  std::vector<at::Tensor> written;
  std::string node;
  bool has_wire_form = true;
  if (recorded) {
    check_behaviour(schema, args, label, place);
    std::vector<std::string> literals(args.size());
    for (size_t index = 0; index < args.size(); ++index) {
      const c10::Argument& argument = schema.arguments()[index];
      if (argument.alias_info() != nullptr && argument.alias_info()->isWrite()) {
        visit_tensors(args[index], [&](const at::Tensor& tensor) {
          check_write(tensor, label, place);
          read_bases(tensor, has_data, label, place);
          written.push_back(tensor);
        });
      }
      has_wire_form &= literal(args[index], label, place, literals[index]);
    }
    // Now the number of the call's node is known.
    if (reviewer_ != nullptr && has_wire_form) {
      for (size_t index = 0; index < args.size(); ++index) {
        const std::optional<c10::IValue> wanted =
            reviewer_->review(nodes_.size(), schema.name(), index, literals[index]);
        if (!wanted) continue;
        args[index] = *wanted;
        stack[stack.size() - args.size() + index] = *wanted;
        literal(args[index], label, place, literals[index]);
      }
    }
    for (size_t index = 0; index < args.size(); ++index) {
      const c10::Argument& argument = schema.arguments()[index];
      literals[index] = "{\"name\":" + json::quote(argument.name()) +
          (argument.kwarg_only() ? ",\"keyword\":true" : "") + ",\"value\":" + literals[index] + "}";
    }
    if (!has_wire_form && (has_data || !written.empty())) {
      throw Rejected(
          "unsupported_model", label + place.text() + " has an argument of a kind that is not supported.",
          place.node());
    }
    const std::string op = written.empty() ? schema.name() : operator_of_write(schema, written.front());
    node = "{\"op\":" + json::quote(op) + ",\"overload\":" + json::quote(schema.overload_name()) +
        ",\"args\":" + json::array(literals) + place.json();
  }

  try {
    if (!(skips_work_ && recorded && has_data && shortcut(schema, kernel, stack))) kernel(stack);
  } catch (const Rejected&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    check_tensor_memory();
    throw Rejected("input_shape", label + place.text() + " fails: " + first_line(logged_message()), place.node());
  }
  if (!recorded) return;

  std::vector<std::string> outputs;
  bool is_list = false;
  const auto produce = [&](at::Tensor tensor) {
    TORCH_CHECK(tensor.defined(), label, " returns no tensor");
    at::Tensor base;
    const auto entry = states_.find(tensor.unsafeGetTensorImpl());
    const bool in_place =
        std::any_of(written.begin(), written.end(), [&](const at::Tensor& target) { return target.is_same(tensor); });
    if (in_place) {
      base = entry->second.base;
    } else {
      if (entry != states_.end()) tensor = at::alias(tensor);
      for (const c10::IValue& arg : args) {
        visit_tensors(arg, [&](const at::Tensor& source) {
          if (!base.defined() && tensor.has_storage() && source.is_alias_of(tensor)) base = source;
        });
      }
    }
    if (has_wire_form) {
      const int64_t value = new_value(tensor, schema.name());
      outputs.push_back(json::number(value));
      const size_t depth = base.defined() ? state_of(base, label).depth + 1 : 0;
      if (depth > kMaxViews) {
        throw Rejected(
            "unsupported_model",
            label + place.text() + " makes a view of more than " + std::to_string(kMaxViews) + " views of views.",
            place.node(), "Copy the tensor now and then (`x = x.clone()`).");
      }
      State& state = track(tensor, value, Origin::Computed, has_data);
      state.base = base;
      state.depth = depth;
    } else {
      know_constant(tensor);
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
          "unsupported_model", label + place.text() + " returns something else besides tensors.", place.node());
    }
  }
  if (has_wire_form) {
    add_node(node + ",\"outputs\":" + json::array(outputs) + (is_list ? ",\"list\":true" : "") + "}");
  }
  for (const at::Tensor& tensor : written) finish_write(tensor, label, place);
}

at::Tensor Recorder::scalar_tensor(c10::IValue number, const Place& place) {
  std::string value;
  literal(number, "`prim::NumToTensor`", place, value);
  if (reviewer_ != nullptr) {
    const auto wanted = reviewer_->review(nodes_.size(), "aten::scalar_tensor", 0, value);
    if (wanted) literal(number = *wanted, "`prim::NumToTensor`", place, value);
  }
  const at::Scalar scalar = number.toScalar();
  const at::Tensor tensor = at::scalar_tensor(scalar, scalar.type());
  const int64_t output = new_value(tensor, "prim::NumToTensor");
  const auto keyword = [](const char* name, const std::string& content) {
    return ",{\"name\":\"" + std::string(name) + "\",\"keyword\":true,\"value\":" + content + "}";
  };
  add_node(
      "{\"op\":\"aten::scalar_tensor\",\"overload\":\"\",\"args\":[{\"name\":\"s\",\"value\":" + value + "}" +
      keyword("dtype", "{\"int\":" + json::number(static_cast<int64_t>(scalar.type())) + "}") +
      keyword("layout", "\"none\"") + keyword("device", "{\"device\":\"cpu\"}") + keyword("pin_memory", "\"none\"") +
      "]" + place.json() + ",\"outputs\":[" + json::number(output) + "]}");
  track(tensor, output, Origin::Computed, false);
  return tensor;
}

std::string Recorder::output_json(const c10::IValue& output, size_t depth) {
  const auto part = [&](const c10::IValue& element) { return output_json(element, depth + 1); };
  if (depth > 20) throw Rejected("unsupported_model", "The model's output is nested more than 20 deep.");
  if (output.isTensor() && output.toTensor().defined()) {
    return "{\"tensor\":" + json::number(read(output.toTensor(), "the output", Place{})) + "}";
  }
  if (output.isNone() || (output.isTensor() && depth > 0)) return "\"none\"";
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
      "", "Wrap the model so that `forward` returns tensors only.");
}

bool Recorder::depends_on_data(const at::Tensor& tensor, const std::string& reader) {
  return state_of(tensor, reader).has_data;
}

void Recorder::specialise(const Place& place) {
  const std::string module = place.module.empty() ? "the model itself" : place.module;
  const std::string text = json::quote(module + (place.source.empty() ? "" : " (" + place.source + ")"));
  if (std::find(specialisations_.begin(), specialisations_.end(), text) == specialisations_.end()) {
    specialisations_.push_back(text);
  }
}

void Recorder::set_output(const c10::IValue& output) { output_ = output_json(output, 0); }

void Recorder::keep(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  flatten(value, tensors);
  for (const at::Tensor& tensor : tensors) kept_.push_back(read(tensor, "what the model keeps", Place{}));
}

std::string Recorder::json() const {
  const auto parameter = [](const ParameterEntry& entry) {
    const char* kinds[] = {"parameter", "buffer", "constant"};
    const bool requires_grad = entry.weight.tensor.requires_grad();
    return "{\"name\":" + json::quote(entry.weight.name) + ",\"kind\":\"" + kinds[static_cast<int>(entry.weight.kind)] +
        "\",\"value\":" + json::number(entry.value) + ",\"requires_grad\":" + json::boolean(requires_grad) +
        (entry.tied_to.empty() ? "" : ",\"tied_to\":" + json::quote(entry.tied_to)) + "}";
  };
  std::vector<std::string> constants;
  for (const auto& [value, name] : constant_names_) {
    constants.push_back("[" + json::number(value) + "," + json::quote(name) + "]");
  }
  return "{\"values\":" + json::array(values_) + ",\"constants\":" + json::array(constants) +
      ",\"inputs\":" + json::array_of(inputs_, [](int64_t value) { return json::number(value); }) +
      ",\"parameters\":" + json::array_of(parameters_, parameter) + ",\"nodes\":" + json::array(nodes_) +
      ",\"specialisations\":" + json::array(specialisations_) +
      ",\"state\":" + json::array_of(kept_, [](int64_t value) { return json::number(value); }) +
      ",\"output\":" + output_ + "}";
}

std::vector<at::Tensor> Recorder::weights() const {
  std::vector<at::Tensor> tensors;
  for (const ParameterEntry& entry : parameters_) tensors.push_back(entry.weight.tensor);
  return tensors;
}

}  // namespace secateur
