#include "weights.h"

#include <algorithm>

#include "failure.h"

namespace secateur {
namespace {

// Hostile limits: a module may hang at several places, so a small archive can name very many.
constexpr size_t kMaxDepth = 200;
constexpr size_t kMaxNames = 200'000;
constexpr size_t kMaxNameBytes = 1000;
// What tensors may show of their storages beyond what these hold: an expanded tensor is written out in full.
constexpr double kMaxRepeatedBytes = 1 << 30;

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

void check_tensor(const Weight& weight) {
  const at::Tensor& tensor = weight.tensor;
  if (tensor.is_quantized()) {
    throw Rejected(
        "unsupported_dtype", "The tensor `" + weight.name + "` is quantized; only float32 weights are supported.",
        weight.name, "Upload the float model from before quantisation.");
  }
  if (tensor.layout() != at::kStrided) {
    throw Rejected(
        "unsupported_dtype",
        "The tensor `" + weight.name +
            "` is sparse or in a private layout; only dense float32 "
            "weights are supported.",
        weight.name, "Convert it with to_dense() before saving.");
  }
  dtype_name(tensor.scalar_type(), weight.name);
  // Python numbers are float64 constants in traced code, so constants may be; they have no gradients.
  const bool is_weight = weight.kind != WeightKind::Constant;
  const bool is_other_float = at::isFloatingType(tensor.scalar_type()) && tensor.scalar_type() != at::kFloat;
  if (is_other_float && (is_weight || tensor.scalar_type() != at::kDouble)) {
    throw Rejected(
        "unsupported_dtype",
        "The tensor `" + weight.name + "` is " + dtype_name(tensor.scalar_type(), weight.name) +
            "; only float32 weights are supported.",
        weight.name, "Save the model after model.float().");
  }
}

struct Walk {
  ModuleTensors found;
  std::vector<Weight> constants;

  double repeated = 0;

  void add(std::vector<Weight>& list, std::string name, WeightKind kind, const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    if (name.size() > kMaxNameBytes) {
      throw Rejected(
          "unsupported_model",
          "The name of a tensor, `" + shortened(name, 100) + "`, has " + std::to_string(name.size()) +
              " bytes; at most " + std::to_string(kMaxNameBytes) + " are allowed.");
    }
    if (found.weights.size() + constants.size() >= kMaxNames) {
      throw Rejected("unsupported_model", "The model has more than 200000 named tensors.");
    }
    list.push_back({std::move(name), kind, tensor});
    check_tensor(list.back());
    check_repetition(list.back());
  }

  void check_repetition(const Weight& weight) {
    const auto shown = static_cast<double>(weight.tensor.numel()) * static_cast<double>(weight.tensor.element_size());
    const auto stored = static_cast<double>(weight.tensor.storage().nbytes());
    repeated += std::max(0.0, shown - stored);
    if (repeated > kMaxRepeatedBytes) {
      throw Rejected(
          "unsupported_model",
          "The tensor `" + weight.name + "` has " + std::to_string(weight.tensor.numel()) + " elements and stores " +
              std::to_string(weight.tensor.storage().nbytes()) +
              " bytes; all tensors of a model may be 1 GiB larger than what "
              "they store.",
          weight.name, "Store the tensor as it is and expand it in `forward`.");
    }
  }

  void attribute(const std::string& name, const c10::IValue& value, size_t depth) {
    if (depth > kMaxDepth) throw Rejected("unsupported_model", "The attribute `" + name + "` is nested too deeply.");
    if (value.isTensor()) {
      add(constants, name, WeightKind::Constant, value.toTensor());
    } else if (value.isTuple()) {
      size_t index = 0;
      for (const auto& element : value.toTupleRef().elements()) {
        attribute(join(name, std::to_string(index++)), element, depth + 1);
      }
    } else if (value.isList()) {
      size_t index = 0;
      for (const c10::IValue& element : value.toList().vec()) {
        attribute(join(name, std::to_string(index++)), element, depth + 1);
      }
    } else if (value.isGenericDict()) {
      for (const auto& entry : value.toGenericDict()) {
        const std::string key = entry.key().isString() ? entry.key().toStringRef() : "entry";
        attribute(join(name, key), entry.value(), depth + 1);
      }
    } else if (value.isObject()) {
      module(value.toObject(), name, depth + 1);
    }
  }

  void module(const c10::intrusive_ptr<c10::ivalue::Object>& object, const std::string& path, size_t depth) {
    if (depth > kMaxDepth) throw Rejected("unsupported_model", "The module `" + path + "` is nested too deeply.");
    found.paths.emplace(object.get(), path);
    const c10::ClassTypePtr type = object->type();
    const auto slots = type->numAttributes();
    for (size_t slot = 0; slot < slots; ++slot) {
      const c10::IValue& value = object->getSlot(slot);
      if (type->is_parameter(slot) && value.isTensor()) {
        add(found.weights, join(path, type->getAttributeName(slot)), WeightKind::Parameter, value.toTensor());
      }
    }
    for (size_t slot = 0; slot < slots; ++slot) {
      const c10::IValue& value = object->getSlot(slot);
      if (type->is_buffer(slot) && value.isTensor()) {
        add(found.weights, join(path, type->getAttributeName(slot)), WeightKind::Buffer, value.toTensor());
      }
    }
    for (size_t slot = 0; slot < slots; ++slot) {
      if (type->is_parameter(slot) || type->is_buffer(slot)) continue;
      attribute(join(path, type->getAttributeName(slot)), object->getSlot(slot), depth + 1);
    }
  }
};

}  // namespace

ModuleTensors collect_tensors(const torch::jit::Module& module) {
  Walk walk;
  walk.module(module._ivalue(), "", 0);
  for (Weight& constant : walk.constants) walk.found.weights.push_back(std::move(constant));
  return std::move(walk.found);
}

const char* dtype_name(at::ScalarType dtype, const std::string& of) {
  switch (dtype) {
    case at::kFloat: return "float32";
    case at::kDouble: return "float64";
    case at::kHalf: return "float16";
    case at::kBFloat16: return "bfloat16";
    case at::kLong: return "int64";
    case at::kInt: return "int32";
    case at::kShort: return "int16";
    case at::kChar: return "int8";
    case at::kByte: return "uint8";
    case at::kBool: return "bool";
    default:
      throw Rejected(
          "unsupported_dtype",
          "The tensor `" + of + "` has the dtype " + c10::toString(dtype) + ", which is not supported.", of);
  }
}

}  // namespace secateur
