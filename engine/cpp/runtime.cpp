#include "runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/version.h>

namespace secateur {

void initialise(int threads, bool deterministic) {
  // The pool between operators can be sized once only, and only before it is first used.
  static bool first = true;
  if (first) at::set_num_interop_threads(1);
  first = false;
  at::set_num_threads(threads);
  at::globalContext().setFlushDenormal(true);
  at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  // Part of the switch above that would fill every fresh tensor with NaN first.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  at::globalContext().setBenchmarkCuDNN(!deterministic);
  at::globalContext().setDeterministicCuDNN(deterministic);
  // A GPU would round the factors of convolutions to ten bits; proofs and figures are those of the weights' type.
  // Training may ask for bfloat16.
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  // Exported files run as written: profiling runs and fusion would only add noise to latencies.
  torch::jit::getProfilingMode() = false;
  torch::jit::getExecutorMode() = false;
}

std::unique_ptr<at::Tensor> channels_last(const at::Tensor& tensor) {
  switch (tensor.dim()) {
    case 4: return std::make_unique<at::Tensor>(tensor.contiguous(at::MemoryFormat::ChannelsLast));
    case 5: return std::make_unique<at::Tensor>(tensor.contiguous(at::MemoryFormat::ChannelsLast3d));
    default: return std::make_unique<at::Tensor>(tensor);
  }
}

rust::Str libtorch_version() { return TORCH_VERSION; }

}  // namespace secateur
