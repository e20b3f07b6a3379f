// TorchScript modules of our own: built from tensors and source text, saved, loaded again and run.

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/serialization/import.h>

#include <map>
#include <memory>

#include "failure.h"
#include "shim.h"
#include "tensors.h"

namespace secateur {

class ModuleBuilder {
 public:
  explicit ModuleBuilder(std::string class_name)
      : class_name_(std::move(class_name)), unit_(std::make_shared<torch::jit::CompilationUnit>()) {
    modules_.emplace("", new_module(class_name_));
  }

  void tensor(const std::string& name, int kind, const at::Tensor& tensor, bool requires_grad) {
    const auto dot = name.rfind('.');
    torch::jit::Module& owner = module(dot == std::string::npos ? "" : name.substr(0, dot));
    const std::string attribute = dot == std::string::npos ? name : name.substr(dot + 1);
    // Tied weights are registered as one object, so that saving keeps them tied.
    auto& [original, own] = tensors_[tensor.unsafeGetTensorImpl()];
    if (!own.defined()) {
      original = tensor;
      own = tensor.detach();
    }
    if (at::isFloatingType(own.scalar_type())) own.set_requires_grad(requires_grad);
    switch (kind) {
      case 0: owner.register_parameter(attribute, own, /*is_buffer=*/false); break;
      case 1: owner.register_buffer(attribute, own); break;
      default: owner.register_attribute(attribute, c10::TensorType::get(), own);
    }
  }

  void define(const std::string& path, const std::string& source) {
    torch::jit::Module& target = module(path);
    const Self self(target);
    unit_->define(*target.type()->name(), source, std::make_shared<Names>(), &self);
  }

  void save(const std::string& file, const torch::jit::ExtraFilesMap& extra) {
    module("").eval();
    module("").save(file, extra);
  }

 private:
  // What the source text may name besides the builtin functions of the language.
  struct Names : torch::jit::NativeResolver {
    std::shared_ptr<torch::jit::SugaredValue> resolveValue(
        const std::string& name, torch::jit::GraphFunction& function, const torch::jit::SourceRange& place) override {
      if (name == "annotate") return torch::jit::SpecialFormValue::create(c10::prim::annotate);
      return NativeResolver::resolveValue(name, function, place);
    }
  };

  // Makes `self` in the source text mean the module.
  struct Self : torch::jit::Self {
    explicit Self(torch::jit::Module module) : module(std::move(module)) {}

    std::shared_ptr<torch::jit::SugaredValue> makeSugared(torch::jit::Value* value) const override {
      value->setType(module.type());
      return std::make_shared<torch::jit::SimpleValue>(value);
    }

    torch::jit::ClassTypePtr getClassType() const override { return module.type(); }

    torch::jit::Module module;
  };

  torch::jit::Module new_module(const std::string& class_name) {
    torch::jit::Module module(c10::QualifiedName("__torch__." + class_name), unit_, /*shouldMangle=*/true);
    module.register_attribute("training", c10::BoolType::get(), false);
    return module;
  }

  torch::jit::Module& module(const std::string& path) {
    const auto known = modules_.find(path);
    if (known != modules_.end()) return known->second;
    const auto dot = path.rfind('.');
    const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
    torch::jit::Module& parent = module(dot == std::string::npos ? "" : path.substr(0, dot));
    torch::jit::Module child = new_module(class_name_ + "Part");
    parent.register_module(name, child);
    return modules_.emplace(path, std::move(child)).first->second;
  }

  std::string class_name_;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::map<std::string, torch::jit::Module> modules_;
  // The caller's tensors, kept so that no address is used twice, and what is registered in their place.
  std::map<const c10::TensorImpl*, std::pair<at::Tensor, at::Tensor>> tensors_;
};

class Reloaded {
 public:
  Reloaded(const std::string& file, const std::string& device)
      : module_(torch::jit::load(file, c10::Device(device), /*load_debug_files=*/false)) {
    module_.eval();
  }

  std::vector<at::Tensor> forward(const at::Tensor* const* inputs, size_t count) const {
    const at::NoGradGuard no_grad;
    torch::jit::Module module = module_;
    std::vector<at::Tensor> outputs;
    flatten(module.forward(ivalues(inputs, count)), outputs);
    return outputs;
  }

 private:
  torch::jit::Module module_;
};

}  // namespace secateur

using namespace secateur;

Failure* secateur_module_new(const char* class_name, ModuleBuilder** result) {
  return guarded([&] { *result = new ModuleBuilder(class_name); });
}

void secateur_module_free(ModuleBuilder* builder) { delete builder; }

Failure* secateur_module_tensor(
    ModuleBuilder* builder, const char* name, int kind, const at::Tensor* tensor, bool requires_grad) {
  return guarded([&] { builder->tensor(name, kind, *tensor, requires_grad); });
}

Failure* secateur_module_define(ModuleBuilder* builder, const char* path, const char* source) {
  return guarded([&] { builder->define(path, source); });
}

Failure* secateur_module_save(
    ModuleBuilder* builder, const char* file, const char* const* extra_names, const char* const* extra_texts,
    size_t extra_count) {
  return guarded([&] {
    torch::jit::ExtraFilesMap extra;
    for (size_t index = 0; index < extra_count; ++index) extra[extra_names[index]] = extra_texts[index];
    builder->save(file, extra);
  });
}

Failure* secateur_reloaded_open(const char* file, const char* device, Reloaded** result) {
  return guarded([&] { *result = new Reloaded(file, device); });
}

Failure* secateur_reloaded_forward(
    const Reloaded* module, const at::Tensor* const* inputs, size_t count, TensorList** result) {
  return guarded([&] { *result = new TensorList{module->forward(inputs, count)}; });
}

void secateur_reloaded_free(Reloaded* module) { delete module; }
