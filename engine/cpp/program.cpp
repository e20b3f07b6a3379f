// The interpreter: a graph as a list of boxed calls. Everything that can be prepared is: operators are looked up once,
// literals stand ready in a template, and each value is let go by the call that reads it last.

#include "program.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "batch_norm.h"
#include "failure.h"
#include "operators.h"
#include "secateur-engine/src/torch/bridge.rs.h"
#include "tensors.h"

namespace secateur {
namespace {

using c10::IValue;

struct TensorArgument {
  size_t position;
  size_t value;
  bool is_last_use;
};

struct TensorsArgument {
  size_t position;
  std::vector<int64_t> values;
  // The schema says Tensor?[].
  bool has_optional_elements;
};

struct SizeArgument {
  size_t position;
  int64_t per_sample;
  int64_t fixed;
};

struct SizesArgument {
  size_t position;
  // Pairs of per_sample and fixed.
  std::vector<int64_t> pairs;
};

}  // namespace

struct Call {
  std::string name;
  std::optional<c10::OperatorHandle> handle;
  // For the operators that only the JIT has (`aten::to.prim_Device`); mutable since calling one is not const.
  mutable std::optional<torch::jit::Operation> jit_operation;
  const c10::FunctionSchema* schema = nullptr;

  // Literals in place, nothing where tensors and sizes go.
  std::vector<IValue> arguments;
  std::vector<TensorArgument> tensors;
  std::vector<TensorsArgument> tensor_lists;
  std::vector<SizeArgument> sizes;
  std::vector<SizesArgument> size_lists;
  std::vector<size_t> devices;
  // Flags that are false in evaluation and true in training, and those among them that make a norm take the statistics
  // of the batch.
  std::vector<size_t> training_flags;
  std::vector<size_t> statistics_flags;

  // What `torch.jit.trace` makes of every convolution. PyTorch's autocast lacks it on the CPU, since no Python function
  // calls it.
  bool is_traced_convolution = false;
  bool is_batch_norm = false;

  std::vector<uint32_t> outputs;
  bool returns_list = false;
  // Values that nothing reads after this call.
  std::vector<uint32_t> dead;
};

namespace {

bool is_training_flag(const std::string& name) {
  return name == "training" || name == "train" || name == "use_input_stats";
}

const c10::Argument& next_argument(const Call& call) {
  TORCH_CHECK(call.arguments.size() < call.schema->arguments().size(), "`", call.name, "` has too many arguments");
  return call.schema->arguments()[call.arguments.size()];
}

// While it lives, operators of a device compute as under `torch.autocast(device, torch.bfloat16)`.
class Autocast {
 public:
  explicit Autocast(c10::DeviceType device) : device_(device), type_before_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
    at::autocast::increment_nesting();
  }

  // Brings the tensors of a call to that type, as it does for the operators that it knows.
  void cast(torch::jit::Stack& stack) const {
    for (IValue& value : stack) {
      if (value.isTensor()) value = at::autocast::cached_cast(at::kBFloat16, value.toTensor(), device_);
    }
  }

  ~Autocast() {
    // The weights that were converted are no use once they have changed.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_dtype(device_, type_before_);
    at::autocast::set_autocast_enabled(device_, false);
  }

  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  at::ScalarType type_before_;
};

IValue tensor_list(const TensorsArgument& list, const std::vector<at::Tensor>& values) {
  if (list.has_optional_elements) {
    c10::List<std::optional<at::Tensor>> tensors;
    for (const int64_t value : list.values) {
      tensors.push_back(value < 0 ? std::nullopt : std::optional<at::Tensor>(values[value]));
    }
    return tensors;
  }
  c10::List<at::Tensor> tensors;
  tensors.reserve(list.values.size());
  for (const int64_t value : list.values) tensors.push_back(values[value]);
  return tensors;
}

void prepare(
    const Call& call, std::vector<at::Tensor>& values, int64_t batch, c10::Device device, bool train,
    bool batch_statistics, torch::jit::Stack& stack) {
  stack.assign(call.arguments.begin(), call.arguments.end());
  for (const TensorsArgument& list : call.tensor_lists) stack[list.position] = tensor_list(list, values);
  for (const TensorArgument& tensor : call.tensors) {
    at::Tensor& value = values[tensor.value];
    stack[tensor.position] = tensor.is_last_use ? IValue(std::move(value)) : IValue(value);
  }
  for (const SizeArgument& size : call.sizes) stack[size.position] = size.fixed + size.per_sample * batch;
  for (const SizesArgument& list : call.size_lists) {
    c10::List<int64_t> sizes;
    sizes.reserve(list.pairs.size() / 2);
    for (size_t index = 0; index < list.pairs.size(); index += 2) {
      sizes.push_back(list.pairs[index + 1] + list.pairs[index] * batch);
    }
    stack[list.position] = std::move(sizes);
  }
  for (const size_t position : call.devices) stack[position] = device;
  if (train) {
    for (const size_t position : call.training_flags) stack[position] = true;
    for (const size_t position : call.statistics_flags) stack[position] = batch_statistics;
  }
}

void collect(const Call& call, torch::jit::Stack& stack, std::vector<at::Tensor>& values) {
  if (call.returns_list) {
    const std::vector<at::Tensor> results = stack.back().toTensorVector();
    TORCH_CHECK(
        results.size() == call.outputs.size(), "`", call.name, "` returns ", results.size(), " tensors instead of ",
        call.outputs.size());
    for (size_t index = 0; index < results.size(); ++index) values[call.outputs[index]] = results[index];
  } else {
    TORCH_CHECK(stack.size() == call.outputs.size(), "`", call.name, "` returns ", stack.size(), " values");
    for (size_t index = 0; index < stack.size(); ++index) {
      values[call.outputs[index]] = std::move(stack[index]).toTensor();
    }
  }
  for (const uint32_t value : call.dead) values[value] = at::Tensor();
}

}  // namespace

Program::Program(size_t values) : values_(values) {}
Program::~Program() = default;

std::unique_ptr<Program> new_program(size_t values) { return std::make_unique<Program>(values); }

void Program::input(uint32_t value) { inputs_.push_back(value); }
void Program::weight(uint32_t value) { weights_.push_back(value); }

void Program::node(rust::Str name_text, rust::Str op_text, rust::Str overload_text) {
  const std::string name(name_text), op(op_text), overload(overload_text);
  // The graph comes from a process that ran a stranger's code, so it is believed no more than the file was.
  if (!is_allowed_operator(op, overload)) {
    throw Rejected(
        "unsupported_operator",
        "The graph calls `" + op + (overload.empty() ? "" : "." + overload) +
            "`, which is not on the list of supported operators.",
        name);
  }
  Call call;
  call.name = name;
  call.is_traced_convolution = op == "aten::_convolution";
  call.is_batch_norm = op == "aten::batch_norm";
  const c10::OperatorName operator_name(op, overload);
  call.handle = c10::Dispatcher::singleton().findSchema(operator_name);
  if (call.handle) {
    call.schema = &call.handle->schema();
  } else {
    const auto jit_operator = torch::jit::findOperatorFor(operator_name);
    TORCH_CHECK(jit_operator, "libtorch has no operator ", op, ".", overload);
    call.jit_operation = jit_operator->getOperation();
    call.schema = &jit_operator->schema();
  }
  calls_.push_back(std::move(call));
}

void Program::argument(IValue value) {
  Call& call = calls_.back();
  const c10::Argument& declared = next_argument(call);
  const size_t position = call.arguments.size();
  if (is_training_flag(declared.name()) && value.isBool() && !value.toBool()) {
    call.training_flags.push_back(position);
    if (call.is_batch_norm || declared.name() == "use_input_stats") call.statistics_flags.push_back(position);
  }
  call.arguments.push_back(std::move(value));
}

void Program::tensor(int64_t value) {
  if (value < 0) return argument(IValue());
  Call& call = calls_.back();
  next_argument(call);
  call.tensors.push_back({call.arguments.size(), static_cast<size_t>(value), false});
  call.arguments.emplace_back();
}

void Program::tensors(rust::Slice<const int64_t> values) {
  Call& call = calls_.back();
  c10::TypePtr type = next_argument(call).type();
  if (const auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
  const auto list = type->cast<c10::ListType>();
  const bool has_optional = list && list->getElementType()->kind() == c10::TypeKind::OptionalType;
  call.tensor_lists.push_back({call.arguments.size(), {values.begin(), values.end()}, has_optional});
  call.arguments.emplace_back();
}

void Program::size(int64_t per_sample, int64_t fixed) {
  if (per_sample == 0) return argument(IValue(fixed));
  Call& call = calls_.back();
  next_argument(call);
  call.sizes.push_back({call.arguments.size(), per_sample, fixed});
  call.arguments.emplace_back();
}

void Program::sizes(rust::Slice<const int64_t> pairs) {
  bool is_fixed = true;
  c10::List<int64_t> values;
  for (size_t index = 0; index < pairs.size(); index += 2) {
    is_fixed &= pairs[index] == 0;
    values.push_back(pairs[index + 1]);
  }
  if (is_fixed) return argument(IValue(std::move(values)));
  Call& call = calls_.back();
  next_argument(call);
  call.size_lists.push_back({call.arguments.size(), {pairs.begin(), pairs.end()}});
  call.arguments.emplace_back();
}

void Program::none() { argument(IValue()); }
void Program::boolean(bool value) { argument(value); }
void Program::number(double value) { argument(value); }
void Program::string(rust::Str text) { argument(std::string(text)); }

void Program::floats(rust::Slice<const double> values) {
  argument(c10::List<double>(c10::ArrayRef<double>(values.data(), values.size())));
}

void Program::bools(rust::Slice<const bool> values) {
  argument(c10::List<bool>(c10::ArrayRef<bool>(values.data(), values.size())));
}

void Program::device() {
  Call& call = calls_.back();
  next_argument(call);
  call.devices.push_back(call.arguments.size());
  call.arguments.emplace_back(c10::Device(c10::kCPU));
}

void Program::outputs(rust::Slice<const uint32_t> values, bool list) {
  Call& call = calls_.back();
  TORCH_CHECK(
      call.arguments.size() == call.schema->arguments().size(), "`", call.name, "` has ", call.arguments.size(),
      " arguments, ", call.schema->name(), " takes ", call.schema->arguments().size());
  TORCH_CHECK(
      list || values.size() == call.schema->returns().size(), "`", call.name, "` has ", values.size(), " outputs");
  call.outputs.assign(values.begin(), values.end());
  call.returns_list = list;
}

void Program::finish(rust::Slice<const uint32_t> outputs) {
  outputs_.assign(outputs.begin(), outputs.end());
  std::vector<char> is_read_later(values_, 0);
  // Weights and inputs are the caller's; they are never moved from.
  for (const uint32_t value : outputs_) is_read_later.at(value) = 1;
  for (const uint32_t value : weights_) is_read_later.at(value) = 1;
  for (const uint32_t value : inputs_) is_read_later.at(value) = 1;
  for (auto call = calls_.rbegin(); call != calls_.rend(); ++call) {
    for (const uint32_t value : call->outputs) {
      if (!is_read_later.at(value)) call->dead.push_back(value);
    }
    const auto last_use_of = [&](size_t value) { return !std::exchange(is_read_later.at(value), char(1)); };
    for (const TensorsArgument& list : call->tensor_lists) {
      for (const int64_t value : list.values) {
        if (value >= 0 && last_use_of(value)) call->dead.push_back(value);
      }
    }
    for (auto tensor = call->tensors.rbegin(); tensor != call->tensors.rend(); ++tensor) {
      tensor->is_last_use = last_use_of(tensor->value);
    }
  }
}

// `seconds`, where there is one, takes the wall time of each call, its preparation and the release of dead values
// included; the device's queue is emptied after every call then.
std::vector<at::Tensor> Program::interpret(
    rust::Slice<const Borrowed> weights, rust::Slice<const Borrowed> inputs, bool train, bool batch_statistics,
    bool bfloat16, double* seconds) const {
  TORCH_CHECK(
      weights.size() == weights_.size(), "the program takes ", weights_.size(), " weights, ", weights.size(),
      " were given");
  TORCH_CHECK(
      inputs.size() == inputs_.size(), "the program takes ", inputs_.size(), " inputs, ", inputs.size(), " were given");
  TORCH_CHECK(inputs.size() > 0 && inputs[0].tensor.dim() > 0, "the first input has no batch dimension");
  const int64_t batch = inputs[0].tensor.size(0);
  const c10::Device device = inputs[0].tensor.device();
  std::optional<Autocast> autocast;
  if (bfloat16) autocast.emplace(device.type());

  std::vector<at::Tensor> values(values_);
  for (size_t index = 0; index < weights.size(); ++index) values[weights_[index]] = weights[index].tensor;
  for (size_t index = 0; index < inputs.size(); ++index) values[inputs_[index]] = inputs[index].tensor;

  torch::jit::Stack stack;
  auto before = std::chrono::steady_clock::now();
  for (const Call& call : calls_) {
    try {
      prepare(call, values, batch, device, train, batch_statistics, stack);
      if (autocast && call.is_traced_convolution) autocast->cast(stack);
      // What is timed is what a user's PyTorch will do.
      const bool is_done = call.is_batch_norm && seconds == nullptr && batch_norm(stack);
      if (is_done) {
        // Nothing is left to call.
      } else if (call.handle) {
        call.handle->callBoxed(stack);
      } else {
        (*call.jit_operation)(stack);
      }
    } catch (const c10::Error& error) {
      TORCH_CHECK(false, "`", call.name, "` (", call.schema->name(), ") fails: ", error.what_without_backtrace());
    }
    collect(call, stack, values);
    if (seconds != nullptr) {
      if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
      const auto after = std::chrono::steady_clock::now();
      *seconds++ = std::chrono::duration<double>(after - before).count();
      before = after;
    }
  }

  std::vector<at::Tensor> results;
  results.reserve(outputs_.size());
  for (const uint32_t output : outputs_) results.push_back(values[output]);
  return results;
}

rust::Vec<Owned> Program::run(
    rust::Slice<const Borrowed> weights, rust::Slice<const Borrowed> inputs, bool train, bool batch_statistics,
    bool bfloat16) const {
  return owned(interpret(weights, inputs, train, batch_statistics, bfloat16, nullptr));
}

rust::Vec<double> Program::time(rust::Slice<const Borrowed> weights, rust::Slice<const Borrowed> inputs) const {
  std::vector<double> seconds(calls_.size());
  interpret(weights, inputs, false, false, false, seconds.data());
  rust::Vec<double> result;
  result.reserve(seconds.size());
  for (const double second : seconds) result.push_back(second);
  return result;
}

}  // namespace secateur
