#include "budget.h"

#include <ATen/core/interned_strings.h>

#include <algorithm>
#include <unordered_map>

namespace secateur {
namespace {

using c10::IValue;
using Args = c10::ArrayRef<IValue>;

// What a tensor object and a short string take, in elements of a list.
constexpr double kTensor = 32;
constexpr double kShortString = 6;
constexpr double kDictEntry = 8;

struct Made {
  double elements = 0;
  double text = 0;
};

double length(const IValue& value) {
  if (value.isList()) return static_cast<double>(value.toListRef().size());
  if (value.isGenericDict()) return static_cast<double>(value.toGenericDict().size());
  if (value.isString()) return static_cast<double>(value.toStringRef().size());
  return 0;
}

double number(const IValue& value) { return value.isInt() ? std::max(0.0, static_cast<double>(value.toInt())) : 0; }

// At least as many bytes as the value has when it is printed; stops counting behind `enough`.
double printed(const IValue& value, double enough) {
  constexpr double kNumber = 32;
  if (value.isString()) return length(value);
  if (value.isTensor())
    return value.toTensor().defined() ? kNumber * static_cast<double>(value.toTensor().numel()) : kNumber;
  double bytes = kNumber;
  const auto add = [&](const IValue& part) { bytes += 2 + printed(part, enough - bytes); };
  if (value.isList()) {
    for (const IValue& part : value.toListRef()) {
      if (bytes > enough) break;
      add(part);
    }
  } else if (value.isTuple()) {
    for (const IValue& part : value.toTupleRef().elements()) {
      if (bytes > enough) break;
      add(part);
    }
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (bytes > enough) break;
      add(entry.key());
      add(entry.value());
    }
  }
  return bytes;
}

double size_of_dim(const IValue& tensor, const IValue& dim) {
  if (!tensor.isTensor() || !tensor.toTensor().defined() || !dim.isInt()) return 0;
  const int64_t rank = tensor.toTensor().dim();
  const int64_t index = dim.toInt() < 0 ? dim.toInt() + rank : dim.toInt();
  return index < 0 || index >= rank ? 0 : static_cast<double>(tensor.toTensor().size(index));
}

Made all_arguments(Args args) {
  Made made;
  for (const IValue& arg : args) {
    (arg.isString() ? made.text : made.elements) += length(arg);
    // The list of its sizes.
    if (arg.isTensor() && arg.toTensor().defined()) made.elements += static_cast<double>(arg.toTensor().dim());
  }
  return made;
}

Made nothing(Args) { return {}; }
Made one_element(Args) { return {1, 0}; }
Made one_entry(Args) { return {kDictEntry, 0}; }
Made second_argument(Args args) { return {args.size() > 1 ? length(args[1]) : 0, 0}; }
Made entries(Args args) { return {kDictEntry * all_arguments(args).elements, 0}; }
Made as_many_as_said(Args args) { return {number(args.at(0)), 0}; }

Made repeated(Args args) {
  if (args[0].isList()) return {length(args[0]) * number(args[1]), 0};
  if (args[1].isList()) return {length(args[1]) * number(args[0]), 0};
  return {};
}

Made replaced(Args args) {
  const double places = length(args[0]) / std::max(1.0, length(args[1])) + 1;
  return {0, length(args[0]) + places * length(args[2])};
}

Made joined(Args args) {
  double text = length(args[0]) * length(args[1]);
  for (const IValue& part : args[1].toListRef()) text += length(part);
  return {0, text};
}

Made as_text(Args args) {
  Made made;
  for (const IValue& arg : args) made.text += printed(arg, kMaxTextBytes);
  return made;
}

// `list` of a list, or of the letters of a text.
Made listed(Args args) { return {length(args[0]) * (args[0].isString() ? kShortString : 1), 0}; }

Made unbound(Args args) { return {kTensor * size_of_dim(args[0], args[1]), 0}; }

// `chunk`, `tensor_split`: by a number of pieces, or by indices; a tensor may hold either.
Made in_pieces(Args args) {
  const double size = size_of_dim(args[0], args[2]);
  double pieces = length(args[1]) + 1;
  if (args[1].isInt()) pieces = std::min(number(args[1]), size);
  if (args[1].isTensor()) pieces = std::max(size, static_cast<double>(args[1].toTensor().numel())) + 1;
  return {kTensor * pieces, 0};
}

// `split`: by the size of a piece, by a list of sizes, or a text into words.
Made split(Args args) {
  if (args[0].isString()) return {kShortString * length(args[0]), length(args[0])};
  const double pieces =
      args[1].isInt() ? size_of_dim(args[0], args[2]) / std::max(1.0, number(args[1])) + 1 : length(args[1]);
  return {kTensor * pieces, 0};
}

using Rule = Made (*)(Args);

// What operators make; of one that is not named here it is what its arguments hold.
Rule rule_of(const std::string& name) {
  static const std::unordered_map<std::string, Rule> rules = {
      {"aten::append", one_element},
      {"aten::insert", one_element},
      {"aten::_set_item", one_entry},
      {"aten::pop", nothing},
      {"aten::clear", nothing},
      {"aten::reverse", nothing},
      {"aten::__getitem__", nothing},
      {"aten::extend", second_argument},
      {"aten::add_", second_argument},
      {"aten::dict", entries},
      {"aten::keys", all_arguments},
      {"aten::items", entries},
      {"aten::mul", repeated},
      {"prim::rangelist", as_many_as_said},
      {"aten::replace", replaced},
      {"aten::join", joined},
      {"aten::str", as_text},
      {"aten::format", as_text},
      {"aten::list", listed},
      {"aten::unbind", unbound},
      {"aten::chunk", in_pieces},
      {"aten::unsafe_chunk", in_pieces},
      {"aten::tensor_split", in_pieces},
      {"aten::split", split},
      {"aten::unsafe_split", split},
      {"aten::split_with_sizes", split},
      {"aten::unsafe_split_with_sizes", split}};
  const auto found = rules.find(name);
  return found == rules.end() ? all_arguments : found->second;
}

bool is_collection(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::ListType:
    case c10::TypeKind::DictType:
    case c10::TypeKind::StringType: return true;
    case c10::TypeKind::OptionalType: return is_collection(*type.expectRef<c10::OptionalType>().getElementType());
    default: return false;
  }
}

}  // namespace

void Budget::refuse(const std::string& detail) {
  refusal_ = Rejected(
      "unsupported_model", detail, "",
      "Make sure that every loop ends; a model whose work grows with a loop of its own cannot be pruned.");
  throw *refusal_;
}

void Budget::step(int64_t count, int64_t elements) {
  steps_ += count;
  if (steps_ > kMaxSteps) {
    refuse("The model takes more than " + std::to_string(kMaxSteps) + " steps for one input.");
  }
  take(static_cast<double>(elements), 0);
}

void Budget::take(double elements, double text) {
  elements_ += elements;
  if (elements_ > static_cast<double>(kMaxElements)) {
    refuse(
        "The model makes lists and dictionaries of more than " + std::to_string(kMaxElements) +
        " elements for one input.");
  }
  text_ += text;
  if (text_ > static_cast<double>(kMaxTextBytes)) {
    refuse("The model makes texts of more than " + std::to_string(kMaxTextBytes) + " bytes for one input.");
  }
}

void Budget::admit(const std::string& name, Args args) {
  const Made made = rule_of(name)(args);
  take(made.elements, made.text);
}

void Budget::record_call(size_t bytes) {
  if (++calls_ > kMaxRecordedCalls) {
    refuse("The model calls more than " + std::to_string(kMaxRecordedCalls) + " operators on tensors for one input.");
  }
  record(bytes);
}

void Budget::record(size_t bytes) {
  recorded_ += bytes;
  if (recorded_ > kMaxRecordBytes) {
    refuse(
        "What the model does for one input takes more than " + std::to_string(kMaxRecordBytes) +
        " bytes to write down.");
  }
}

bool may_grow(const torch::jit::Node* node) {
  const c10::FunctionSchema* schema = node->maybeSchema();
  if (schema == nullptr && node->kind() != c10::aten::format) return false;
  if (node->outputs().empty()) return true;
  for (const torch::jit::Value* output : node->outputs()) {
    if (is_collection(*output->type())) return true;
  }
  return false;
}

int64_t written_elements(const torch::jit::Node* node) {
  switch (node->kind()) {
    case c10::prim::ListConstruct:
    case c10::prim::TupleConstruct: return static_cast<int64_t>(node->inputs().size());
    case c10::prim::DictConstruct:
      return static_cast<int64_t>(kDictEntry) * static_cast<int64_t>(node->inputs().size());
    default: return 0;
  }
}

}  // namespace secateur
