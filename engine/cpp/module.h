// TorchScript modules of our own: built from tensors and source text, saved, loaded again and run.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bridged.h"

namespace secateur {

enum class TensorKind : uint8_t;
struct ExtraFile;
struct GivenNumber;

// A module under construction. The folders of dotted names become submodules.
class ModuleBuilder {
 public:
  explicit ModuleBuilder(std::string class_name);

  void tensor(rust::Str name, TensorKind kind, const at::Tensor& tensor, bool requires_grad);
  // Defines the functions in `source` as methods of the submodule at the dotted `path` (empty: the root).
  void define(rust::Str path, rust::Str source);
  void save(rust::Slice<const uint8_t> file, rust::Slice<const ExtraFile> extra);

 private:
  torch::jit::Module new_module(const std::string& class_name);
  torch::jit::Module& module(const std::string& path);

  std::string class_name_;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::map<std::string, torch::jit::Module> modules_;
  // The caller's tensors, kept so that no address is used twice, and what is registered in their place.
  std::map<const c10::TensorImpl*, std::pair<at::Tensor, at::Tensor>> tensors_;
};

std::unique_ptr<ModuleBuilder> new_module_builder(rust::Str class_name);

// A file of our own export, loaded as a user would. Devices that its program names become the one that it is loaded to.
class Reloaded {
 public:
  Reloaded(const std::string& file, const std::string& device);

  // What inputs of `forward` are given that take numbers.
  void give(rust::Slice<const GivenNumber> numbers);

  // In evaluation mode and without gradients; outputs in reading order.
  rust::Vec<Owned> forward(rust::Slice<const Borrowed> inputs) const { return call("forward", inputs); }

  // Any method, likewise.
  rust::Vec<Owned> call(rust::Str method, rust::Slice<const Borrowed> inputs) const;

 private:
  torch::jit::Module module_;
  std::map<size_t, double> numbers_;
};

std::unique_ptr<Reloaded> open_reloaded(rust::Slice<const uint8_t> file, rust::Str device);

}  // namespace secateur
