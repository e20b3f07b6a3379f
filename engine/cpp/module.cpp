#include "module.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/serialization/import.h>

#include "reference.h"
#include "tensors.h"

namespace secateur {
namespace {

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

}  // namespace

ModuleBuilder::ModuleBuilder(std::string class_name)
    : class_name_(std::move(class_name)), unit_(std::make_shared<torch::jit::CompilationUnit>()) {
  modules_.emplace("", new_module(class_name_));
}

void ModuleBuilder::tensor(rust::Str dotted, TensorKind kind, const at::Tensor& tensor, bool requires_grad) {
  const std::string name(dotted);
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
    case TensorKind::Parameter: owner.register_parameter(attribute, own, /*is_buffer=*/false); break;
    case TensorKind::Buffer: owner.register_buffer(attribute, own); break;
    default: owner.register_attribute(attribute, c10::TensorType::get(), own);
  }
}

void ModuleBuilder::define(rust::Str path, rust::Str source) {
  torch::jit::Module& target = module(std::string(path));
  const Self self(target);
  unit_->define(*target.type()->name(), std::string(source), std::make_shared<Names>(), &self);
}

void ModuleBuilder::save(rust::Slice<const uint8_t> file, rust::Slice<const ExtraFile> extra) {
  torch::jit::ExtraFilesMap texts;
  for (const ExtraFile& entry : extra) texts[std::string(entry.name)] = std::string(entry.text);
  module("").eval();
  module("").save(std::string(file.begin(), file.end()), texts);
}

torch::jit::Module ModuleBuilder::new_module(const std::string& class_name) {
  torch::jit::Module module(c10::QualifiedName("__torch__." + class_name), unit_, /*shouldMangle=*/true);
  module.register_attribute("training", c10::BoolType::get(), false);
  return module;
}

torch::jit::Module& ModuleBuilder::module(const std::string& path) {
  const auto known = modules_.find(path);
  if (known != modules_.end()) return known->second;
  const auto dot = path.rfind('.');
  const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
  torch::jit::Module& parent = module(dot == std::string::npos ? "" : path.substr(0, dot));
  torch::jit::Module child = new_module(class_name_ + "Part");
  parent.register_module(name, child);
  return modules_.emplace(path, std::move(child)).first->second;
}

std::unique_ptr<ModuleBuilder> new_module_builder(rust::Str class_name) {
  return std::make_unique<ModuleBuilder>(std::string(class_name));
}

Reloaded::Reloaded(const std::string& file, const std::string& device)
    : module_(torch::jit::load(file, c10::Device(device), /*load_debug_files=*/false)) {
  module_.eval();
  run_on(module_, c10::Device(device));
}

void Reloaded::give(rust::Slice<const GivenNumber> numbers) { numbers_ = numbers_of(numbers); }

rust::Vec<Owned> Reloaded::call(rust::Str method, rust::Slice<const Borrowed> inputs) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> outputs;
  const torch::jit::Method called = module_.get_method(std::string(method));
  const bool is_forward = called.name() == "forward";
  flatten(
      called(arguments_of(called.function().getSchema(), inputs, is_forward ? numbers_ : std::map<size_t, double>())),
      outputs);
  return owned(std::move(outputs));
}

std::unique_ptr<Reloaded> open_reloaded(rust::Slice<const uint8_t> file, rust::Str device) {
  return std::make_unique<Reloaded>(std::string(file.begin(), file.end()), std::string(device));
}

}  // namespace secateur
