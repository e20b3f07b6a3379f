// Settings of the process that tch has no door to.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/version.h>

#include "failure.h"
#include "shim.h"

using namespace secateur;

Failure* secateur_initialise(int threads, bool deterministic) {
  return guarded([&] {
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
    // Exported files run as written: profiling runs and fusion would only add noise to latencies.
    torch::jit::getProfilingMode() = false;
    torch::jit::getExecutorMode() = false;
  });
}

Failure* secateur_channels_last(const at::Tensor* tensor, at::Tensor** result) {
  return guarded([&] {
    switch (tensor->dim()) {
      case 4: *result = new at::Tensor(tensor->contiguous(at::MemoryFormat::ChannelsLast)); break;
      case 5: *result = new at::Tensor(tensor->contiguous(at::MemoryFormat::ChannelsLast3d)); break;
      default: *result = new at::Tensor(*tensor);
    }
  });
}

const char* secateur_libtorch_version() { return TORCH_VERSION; }
