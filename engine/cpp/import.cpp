// Loading a user's archive: load, evaluation mode, allow-list; only then does any of its code run.

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
#include "shim.h"
#include "tensors.h"
#include "weights.h"

namespace secateur {

class Archive {
 public:
  Archive(const std::string& path, bool only_allowed_operators) : module_(load(path)) {
    module_.eval();
    if (only_allowed_operators) {
      check_operators(module_);
    } else {
      allow_every_operator();
    }
    tensors_ = collect_tensors(module_);
    describe_inputs(path);
  }

  const std::string& inputs() const { return inputs_; }

  std::string record(const at::Tensor* const* inputs, size_t count, std::vector<at::Tensor>& weights) const {
    const at::NoGradGuard no_grad;
    Budget budget;
    Recorder recorder(budget);
    for (size_t index = 0; index < count; ++index) recorder.add_input(*inputs[index]);
    for (const Weight& weight : tensors_.weights) recorder.add_weight(weight);
    recorder.set_output(evaluate_forward(module_, tensors_, arguments(inputs, count), recorder, budget));
    weights = recorder.weights();
    return recorder.json();
  }

  std::vector<at::Tensor> forward(const at::Tensor* const* inputs, size_t count) {
    put_under_budget(module_);
    return reference_outputs(module_, arguments(inputs, count));
  }

 private:
  static torch::jit::Module load(const std::string& path) {
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

  const c10::FunctionSchema& schema() const {
    const auto method = module_.find_method("forward");
    if (!method) throw Rejected("unsupported_model", "The model has no method `forward`.");
    return method->function().getSchema();
  }

  // The given inputs and the defaults of the rest.
  std::vector<c10::IValue> arguments(const at::Tensor* const* inputs, size_t count) const {
    std::vector<c10::IValue> values = ivalues(inputs, count);
    const auto& declared = schema().arguments();
    for (size_t index = count + 1; index < declared.size(); ++index) {
      const auto& fallback = declared[index].default_value();
      TORCH_CHECK(fallback.has_value(), "input `", declared[index].name(), "` is missing");
      values.push_back(*fallback);
    }
    return values;
  }

  void describe_inputs(const std::string& path) {
    size_t required = 0;
    size_t total = 0;
    bool takes_tensors = true;
    const auto& declared = schema().arguments();
    for (size_t index = 1; index < declared.size(); ++index) {
      const c10::Argument& argument = declared[index];
      const bool is_tensor = argument.type()->isSubtypeOf(*c10::OptionalType::ofTensor());
      if (!argument.default_value().has_value()) {
        if (!is_tensor) {
          throw Rejected(
              "unsupported_model",
              "The model's input `" + argument.name() + "` is of type " + argument.type()->repr_str() +
                  "; only tensors are supported.",
              argument.name(), "Wrap the model so that `forward` takes tensors only.");
        }
        ++required;
      }
      takes_tensors &= is_tensor;
      if (takes_tensors) ++total;
    }
    inputs_ = "{\"required\":" + std::to_string(required) + ",\"total\":" + std::to_string(total) +
        ",\"traced\":" + traced_inputs(path) + "}";
  }

  // The inputs that torch.jit.trace recorded: sizes and dtypes, the storages are empty.
  static std::string traced_inputs(const std::string& path) {
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

  static c10::IValue read_traced_inputs(caffe2::serialize::PyTorchStreamReader& reader) {
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

  torch::jit::Module module_;
  ModuleTensors tensors_;
  std::string inputs_;
};

class Recording {
 public:
  std::string json;
  std::vector<at::Tensor> weights;
};

}  // namespace secateur

using namespace secateur;

Failure* secateur_archive_load(const char* path, bool only_allowed_operators, Archive** result) {
  return guarded([&] { *result = new Archive(path, only_allowed_operators); });
}

void secateur_archive_free(Archive* archive) { delete archive; }

const char* secateur_archive_inputs(const Archive* archive) { return archive->inputs().c_str(); }

Failure* secateur_archive_record(
    const Archive* archive, const at::Tensor* const* inputs, size_t count, Recording** result) {
  return guarded([&] {
    auto recording = std::make_unique<Recording>();
    recording->json = archive->record(inputs, count, recording->weights);
    *result = recording.release();
  });
}

Failure* secateur_archive_forward(
    Archive* archive, const at::Tensor* const* inputs, size_t count, TensorList** result) {
  return guarded([&] { *result = new TensorList{archive->forward(inputs, count)}; });
}

const char* secateur_recording_json(const Recording* recording) { return recording->json.c_str(); }

Failure* secateur_recording_weights(const Recording* recording, TensorList** result) {
  return guarded([&] { *result = new TensorList{recording->weights}; });
}

void secateur_recording_free(Recording* recording) { delete recording; }

size_t secateur_tensors_count(const TensorList* list) { return list->tensors.size(); }

at::Tensor* secateur_tensors_get(const TensorList* list, size_t index) { return new at::Tensor(list->tensors[index]); }

void secateur_tensors_free(TensorList* list) { delete list; }
