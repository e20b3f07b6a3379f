#include "import.h"

#include <ATen/core/grad_mode.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/import_read.h>

#include "budget.h"
#include "evaluator.h"
#include "failure.h"
#include "json.h"
#include "loading.h"
#include "operators.h"
#include "recorder.h"
#include "reference.h"
#include "tensors.h"
#include "weights.h"

namespace secateur {
namespace {

torch::jit::Module load(const std::string& path) {
  const Loading loading;
  try {
    return torch::jit::load(path, c10::Device(c10::kCPU), /*load_debug_files=*/false);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    const std::string message = logged_message();
    const bool is_unknown = message.find("Unknown builtin op") != std::string::npos ||
        message.find("Unknown type name") != std::string::npos || message.find("torch.classes") != std::string::npos;
    // Tensors in oneDNN's private layout are constants that no file can hold.
    const bool is_optimised = message.find("required keyword attribute 'value' is undefined") != std::string::npos;
    throw Rejected(
        is_unknown || is_optimised ? "unsupported_operator" : "damaged_archive",
        "libtorch cannot load the model: " + first_line(message), "",
        is_unknown ? "Build the model of PyTorch's own operators; those of extension libraries are not supported."
            : is_optimised ? "Upload the model from before torch.jit.optimize_for_inference."
                           : "");
  }
}

c10::IValue read_traced_inputs(caffe2::serialize::PyTorchStreamReader& reader) {
  try {
    return torch::jit::readArchiveAndTensors(
        "traced_inputs", "", "traced_inputs/", std::nullopt, std::nullopt, c10::Device(c10::kCPU), reader);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    throw Rejected(
        "damaged_archive", "The record `traced_inputs.pkl` cannot be read: " + first_line(logged_message()),
        "traced_inputs.pkl");
  }
}

// The inputs that torch.jit.trace recorded: sizes and dtypes, the storages are empty.
std::string traced_inputs(const std::string& path) {
  caffe2::serialize::PyTorchStreamReader reader(path);
  if (!reader.hasRecord("traced_inputs.pkl")) return "[]";
  const c10::IValue traced = read_traced_inputs(reader);
  if (!traced.isGenericDict()) return "[]";
  for (const auto& entry : traced.toGenericDict()) {
    if (!entry.key().isString() || entry.key().toStringRef() != "forward" || !entry.value().isList()) continue;
    std::vector<std::string> written;
    for (const c10::IValue& input : entry.value().toList().vec()) {
      if (!input.isTensor() || !input.toTensor().defined()) return "[]";
      const at::Tensor tensor = input.toTensor();
      written.push_back(
          "{\"shape\":" + json::array_of(tensor.sizes(), [](int64_t size) { return json::number(size); }) +
          ",\"dtype\":" + json::quote(dtype_name(tensor.scalar_type(), "traced input")) + "}");
    }
    return json::array(written);
  }
  return "[]";
}

}  // namespace

// Load, evaluation mode, allow-list; only then does any of the archive's code run.
Archive::Archive(const std::string& path, bool only_allowed_operators) : module_(load(path)) {
  module_.eval();
  if (only_allowed_operators) {
    check_operators(module_);
  } else {
    allow_every_operator();
  }
  tensors_ = collect_tensors(module_);
  describe_inputs(path);
}

rust::String Archive::interface() const {
  std::vector<std::string> methods, attributes, optional;
  for (const torch::jit::Method& method : module_.get_methods()) {
    if (method.name() != "forward") methods.push_back(method.name());
  }
  const c10::ClassTypePtr type = module_.type();
  for (size_t slot = 0; slot < type->numAttributes(); ++slot) {
    const std::string& name = type->getAttributeName(slot);
    const c10::TypePtr& declared = type->getAttribute(slot);
    const bool is_tensor = type->is_parameter(slot) || type->is_buffer(slot) ||
        declared->isSubtypeOf(*c10::OptionalType::ofTensor()) || declared->is_module();
    if (!is_tensor && name != "training" && name[0] != '_') attributes.push_back(name);
  }
  const auto& declared = schema().arguments();
  for (size_t index = 1; index < declared.size(); ++index) {
    if (declared[index].default_value().has_value()) optional.push_back(declared[index].name());
  }
  std::string named_tuple;
  for (const c10::Argument& result : schema().returns()) {
    const auto tuple = result.type()->cast<c10::TupleType>();
    if (tuple && tuple->name()) named_tuple = tuple->name()->name();
  }
  const auto required = static_cast<int64_t>(declared.size() - 1 - optional.size());
  const auto names = [](const std::vector<std::string>& list) { return json::array_of(list, json::quote); };
  return rust::String::lossy(
      "{\"methods\":" + names(methods) + ",\"attributes\":" + names(attributes) +
      ",\"required\":" + json::number(required) + ",\"optional\":" + names(optional) +
      ",\"named_tuple\":" + json::quote(named_tuple) + "}");
}

rust::String Archive::methods() const {
  std::vector<std::string> methods;
  for (const torch::jit::Method& method : module_.get_methods()) {
    if (method.name() == "forward") continue;
    size_t tensors = 0;
    bool takes_tensors = true;
    const auto& declared = method.function().getSchema().arguments();
    for (size_t index = 1; index < declared.size(); ++index) {
      if (declared[index].default_value().has_value()) continue;
      takes_tensors &= declared[index].type()->isSubtypeOf(*c10::OptionalType::ofTensor()) && tensors + 1 == index;
      ++tensors;
    }
    methods.push_back(
        "{\"name\":" + json::quote(method.name()) +
        ",\"tensors\":" + (takes_tensors ? json::number(static_cast<int64_t>(tensors)) : "null") + "}");
  }
  return rust::String::lossy(json::array(methods));
}

Recorded Archive::record(rust::Str method, rust::Slice<const Borrowed> inputs, bool skip_work) const {
  std::string json;
  std::vector<at::Tensor> weights;
  // What the recorder holds goes before the record is copied for Rust.
  {
    const at::NoGradGuard no_grad;
    Budget budget;
    Recorder recorder(budget);
    if (skip_work) recorder.skip_work();
    for (const Borrowed& input : inputs) recorder.add_input(input.tensor);
    for (const Weight& weight : tensors_.weights) recorder.add_weight(weight);
    const torch::jit::Method called = method_named(std::string(method));
    recorder.set_output(evaluate(called, tensors_, arguments(called, inputs), recorder, budget));
    json = recorder.json();
    weights = recorder.weights();
  }
  return {rust::String::lossy(json), owned(std::move(weights))};
}

void Archive::record_guided(rust::Slice<const Borrowed> inputs, Guide& guide) const {
  const at::NoGradGuard no_grad;
  Budget budget;
  Recorder recorder(budget);
  recorder.skip_work();
  for (const Borrowed& input : inputs) recorder.add_input(input.tensor);
  for (const Weight& weight : tensors_.weights) recorder.add_weight(weight);
  const torch::jit::Method forward = method_named("forward");
  evaluate(forward, tensors_, arguments(forward, inputs), recorder, budget, &guide);
}

rust::Vec<Owned> Archive::forward(rust::Slice<const Borrowed> inputs) {
  put_under_budget(module_);
  return owned(reference_outputs(module_, arguments(method_named("forward"), inputs)));
}

torch::jit::Method Archive::method_named(const std::string& name) const {
  const auto method = module_.find_method(name);
  if (!method) throw Rejected("unsupported_model", "The model has no method `" + name + "`.");
  return *method;
}

const c10::FunctionSchema& Archive::schema() const { return method_named("forward").function().getSchema(); }

void Archive::give(rust::Slice<const GivenNumber> numbers) { numbers_ = numbers_of(numbers); }

std::vector<c10::IValue> Archive::arguments(
    const torch::jit::Method& method, rust::Slice<const Borrowed> inputs) const {
  const bool is_forward = method.name() == "forward";
  return arguments_of(method.function().getSchema(), inputs, is_forward ? numbers_ : std::map<size_t, double>());
}

void Archive::describe_inputs(const std::string& path) {
  size_t required = 0;
  size_t total = 0;
  bool is_known = true;
  std::vector<std::string> names;
  std::vector<std::string> numbers;
  const auto& declared = schema().arguments();
  for (size_t index = 1; index < declared.size(); ++index) {
    const c10::Argument& argument = declared[index];
    const bool is_tensor = argument.type()->isSubtypeOf(*c10::OptionalType::ofTensor());
    const c10::TypeKind kind = argument.type()->kind();
    const bool is_number =
        kind == c10::TypeKind::IntType || kind == c10::TypeKind::FloatType || kind == c10::TypeKind::BoolType;
    if (!argument.default_value().has_value()) {
      if (!is_tensor && !is_number) {
        throw Rejected(
            "unsupported_model",
            "The model's input `" + argument.name() + "` is of type " + argument.type()->repr_str() +
                "; only tensors and numbers are supported.",
            argument.name(), "Wrap the model so that `forward` takes tensors and numbers only.");
      }
      ++required;
    }
    if (is_number) numbers.push_back(json::number(static_cast<int64_t>(index - 1)));
    is_known &= is_tensor || is_number;
    if (is_known) ++total;
    names.push_back(json::quote(argument.name()));
  }
  inputs_ = "{\"required\":" + std::to_string(required) + ",\"total\":" + std::to_string(total) +
      ",\"names\":" + json::array(names) + ",\"numbers\":" + json::array(numbers) +
      ",\"traced\":" + traced_inputs(path) + "}";
}

std::unique_ptr<Archive> load_archive(rust::Slice<const uint8_t> path, bool only_allowed_operators) {
  return std::make_unique<Archive>(std::string(path.begin(), path.end()), only_allowed_operators);
}

}  // namespace secateur
