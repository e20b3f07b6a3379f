// The interpreter: a graph as a list of boxed calls. Everything that can be prepared is: operators are looked up once,
// literals stand ready in a template, and each value is let go by the call that reads it last.

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "failure.h"
#include "operators.h"
#include "shim.h"
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
  // Flags that are false in evaluation and true in training.
  std::vector<size_t> training_flags;

  std::vector<uint32_t> outputs;
  bool returns_list = false;
  // Values that nothing reads after this call.
  std::vector<uint32_t> dead;
};

bool is_training_flag(const std::string& name) {
  return name == "training" || name == "train" || name == "use_input_stats";
}

}  // namespace

class Program {
 public:
  explicit Program(size_t values) : values_(values) {}

  void input(uint32_t value) { inputs_.push_back(value); }
  void weight(uint32_t value) { weights_.push_back(value); }

  void node(const char* name, const char* op, const char* overload) {
    // The graph comes from a process that ran a stranger's code, so it is believed no more than the file was.
    if (!is_allowed_operator(op, overload)) {
      throw Rejected(
          "unsupported_operator",
          "The graph calls `" + std::string(op) + (*overload == 0 ? "" : "." + std::string(overload)) +
              "`, which is not on the list of supported operators.",
          name);
    }
    Call call;
    call.name = name;
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

  void argument(IValue value) {
    Call& call = calls_.back();
    const c10::Argument& declared = next_argument();
    const size_t position = call.arguments.size();
    if (is_training_flag(declared.name()) && value.isBool() && !value.toBool()) {
      call.training_flags.push_back(position);
    }
    call.arguments.push_back(std::move(value));
  }

  void tensor(int64_t value) {
    if (value < 0) return argument(IValue());
    Call& call = calls_.back();
    next_argument();
    call.tensors.push_back({call.arguments.size(), static_cast<size_t>(value), false});
    call.arguments.emplace_back();
  }

  void tensors(const int64_t* values, size_t count) {
    Call& call = calls_.back();
    c10::TypePtr type = next_argument().type();
    if (const auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
    const auto list = type->cast<c10::ListType>();
    const bool has_optional = list && list->getElementType()->kind() == c10::TypeKind::OptionalType;
    call.tensor_lists.push_back({call.arguments.size(), {values, values + count}, has_optional});
    call.arguments.emplace_back();
  }

  void size(int64_t per_sample, int64_t fixed) {
    if (per_sample == 0) return argument(IValue(fixed));
    Call& call = calls_.back();
    next_argument();
    call.sizes.push_back({call.arguments.size(), per_sample, fixed});
    call.arguments.emplace_back();
  }

  void sizes(const int64_t* pairs, size_t count) {
    bool is_fixed = true;
    c10::List<int64_t> values;
    for (size_t index = 0; index < count; ++index) {
      is_fixed &= pairs[2 * index] == 0;
      values.push_back(pairs[2 * index + 1]);
    }
    if (is_fixed) return argument(IValue(std::move(values)));
    Call& call = calls_.back();
    next_argument();
    call.size_lists.push_back({call.arguments.size(), {pairs, pairs + 2 * count}});
    call.arguments.emplace_back();
  }

  void device() {
    Call& call = calls_.back();
    next_argument();
    call.devices.push_back(call.arguments.size());
    call.arguments.emplace_back(c10::Device(c10::kCPU));
  }

  void outputs(const uint32_t* values, size_t count, bool list) {
    Call& call = calls_.back();
    TORCH_CHECK(
        call.arguments.size() == call.schema->arguments().size(), "`", call.name, "` has ", call.arguments.size(),
        " arguments, ", call.schema->name(), " takes ", call.schema->arguments().size());
    TORCH_CHECK(list || count == call.schema->returns().size(), "`", call.name, "` has ", count, " outputs");
    call.outputs.assign(values, values + count);
    call.returns_list = list;
  }

  void finish(const uint32_t* outputs, size_t count) {
    outputs_.assign(outputs, outputs + count);
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

  size_t calls() const { return calls_.size(); }

  // `seconds`, where there is one, takes the wall time of each call, its preparation and the release of dead values
  // included; the device's queue is emptied after every call then.
  std::vector<at::Tensor> run(
      const at::Tensor* const* weights, size_t weight_count, const at::Tensor* const* inputs, size_t input_count,
      bool train, double* seconds) const {
    TORCH_CHECK(
        weight_count == weights_.size(), "the program takes ", weights_.size(), " weights, ", weight_count,
        " were given");
    TORCH_CHECK(
        input_count == inputs_.size(), "the program takes ", inputs_.size(), " inputs, ", input_count, " were given");
    TORCH_CHECK(input_count > 0 && inputs[0]->dim() > 0, "the first input has no batch dimension");
    const int64_t batch = inputs[0]->size(0);
    const c10::Device device = inputs[0]->device();

    std::vector<at::Tensor> values(values_);
    for (size_t index = 0; index < weight_count; ++index) values[weights_[index]] = *weights[index];
    for (size_t index = 0; index < input_count; ++index) values[inputs_[index]] = *inputs[index];

    torch::jit::Stack stack;
    auto before = std::chrono::steady_clock::now();
    for (const Call& call : calls_) {
      try {
        prepare(call, values, batch, device, train, stack);
        if (call.handle) {
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

 private:
  const c10::Argument& next_argument() const {
    const Call& call = calls_.back();
    TORCH_CHECK(call.arguments.size() < call.schema->arguments().size(), "`", call.name, "` has too many arguments");
    return call.schema->arguments()[call.arguments.size()];
  }

  static void prepare(
      const Call& call, std::vector<at::Tensor>& values, int64_t batch, c10::Device device, bool train,
      torch::jit::Stack& stack) {
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
    }
  }

  static IValue tensor_list(const TensorsArgument& list, const std::vector<at::Tensor>& values) {
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

  static void collect(const Call& call, torch::jit::Stack& stack, std::vector<at::Tensor>& values) {
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

  size_t values_;
  std::vector<uint32_t> inputs_;
  std::vector<uint32_t> weights_;
  std::vector<Call> calls_;
  std::vector<uint32_t> outputs_;
};

}  // namespace secateur

using namespace secateur;

Program* secateur_program_new(size_t values) { return new Program(values); }
void secateur_program_free(Program* program) { delete program; }
void secateur_program_input(Program* program, uint32_t value) { program->input(value); }
void secateur_program_weight(Program* program, uint32_t value) { program->weight(value); }

Failure* secateur_program_node(Program* program, const char* name, const char* op, const char* overload) {
  return guarded([&] { program->node(name, op, overload); });
}

Failure* secateur_program_tensor(Program* program, int64_t value) {
  return guarded([&] { program->tensor(value); });
}

Failure* secateur_program_tensors(Program* program, const int64_t* values, size_t count) {
  return guarded([&] { program->tensors(values, count); });
}

Failure* secateur_program_none(Program* program) {
  return guarded([&] { program->argument(c10::IValue()); });
}

Failure* secateur_program_bool(Program* program, bool value) {
  return guarded([&] { program->argument(value); });
}

Failure* secateur_program_int(Program* program, int64_t per_sample, int64_t fixed) {
  return guarded([&] { program->size(per_sample, fixed); });
}

Failure* secateur_program_float(Program* program, double value) {
  return guarded([&] { program->argument(value); });
}

Failure* secateur_program_string(Program* program, const char* text) {
  return guarded([&] { program->argument(std::string(text)); });
}

Failure* secateur_program_ints(Program* program, const int64_t* pairs, size_t count) {
  return guarded([&] { program->sizes(pairs, count); });
}

Failure* secateur_program_floats(Program* program, const double* values, size_t count) {
  return guarded([&] { program->argument(c10::List<double>(c10::ArrayRef<double>(values, count))); });
}

Failure* secateur_program_bools(Program* program, const bool* values, size_t count) {
  return guarded([&] { program->argument(c10::List<bool>(c10::ArrayRef<bool>(values, count))); });
}

Failure* secateur_program_device(Program* program) {
  return guarded([&] { program->device(); });
}

Failure* secateur_program_outputs(Program* program, const uint32_t* values, size_t count, bool list) {
  return guarded([&] { program->outputs(values, count, list); });
}

Failure* secateur_program_finish(Program* program, const uint32_t* outputs, size_t count) {
  return guarded([&] { program->finish(outputs, count); });
}

Failure* secateur_program_run(
    const Program* program, const at::Tensor* const* weights, size_t weight_count, const at::Tensor* const* inputs,
    size_t input_count, bool train, TensorList** result) {
  return guarded(
      [&] { *result = new TensorList{program->run(weights, weight_count, inputs, input_count, train, nullptr)}; });
}

Failure* secateur_program_time(
    const Program* program, const at::Tensor* const* weights, size_t weight_count, const at::Tensor* const* inputs,
    size_t input_count, double* seconds, size_t count) {
  return guarded([&] {
    TORCH_CHECK(
        count == program->calls(), "the program has ", program->calls(), " calls, ", count, " times were asked for");
    program->run(weights, weight_count, inputs, input_count, false, seconds);
  });
}
