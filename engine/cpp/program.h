// The interpreter of a graph. Values are numbered as in the graph; -1 is "no tensor".
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <memory>
#include <vector>

#include "bridged.h"

namespace secateur {

struct Call;

class Program {
 public:
  explicit Program(size_t values);
  ~Program();

  void input(uint32_t value);
  void weight(uint32_t value);

  // A call; its arguments follow in the schema's order, then its outputs.
  void node(rust::Str name, rust::Str op, rust::Str overload);
  void tensor(int64_t value);
  void tensors(rust::Slice<const int64_t> values);
  void none();
  void boolean(bool value);
  void size(int64_t per_sample, int64_t fixed);
  void number(double value);
  void string(rust::Str text);
  // Pairs of per_sample and fixed.
  void sizes(rust::Slice<const int64_t> pairs);
  void floats(rust::Slice<const double> values);
  void bools(rust::Slice<const bool> values);
  void device();
  void outputs(rust::Slice<const uint32_t> values, bool list);

  void finish(rust::Slice<const uint32_t> outputs);

  // With `train`, norms that keep running statistics use and update those of the batch or, without `batch_statistics`,
  // use the running ones. With `bfloat16`, convolutions and matrix products are computed in that type, as PyTorch's
  // autocast chooses.
  rust::Vec<Owned> run(
      rust::Slice<const Borrowed> weights, rust::Slice<const Borrowed> inputs, bool train, bool batch_statistics,
      bool bfloat16) const;
  // Runs in evaluation mode and gives the wall time of each node, in program order.
  rust::Vec<double> time(rust::Slice<const Borrowed> weights, rust::Slice<const Borrowed> inputs) const;

 private:
  void argument(c10::IValue value);
  std::vector<at::Tensor> interpret(
      rust::Slice<const Borrowed> weights, rust::Slice<const Borrowed> inputs, bool train, bool batch_statistics,
      bool bfloat16, double* seconds) const;

  size_t values_;
  std::vector<uint32_t> inputs_;
  std::vector<uint32_t> weights_;
  std::vector<Call> calls_;
  std::vector<uint32_t> outputs_;
};

std::unique_ptr<Program> new_program(size_t values);

}  // namespace secateur
