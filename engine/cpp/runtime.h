// Settings of the process that tch has no door to.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "rust/cxx.h"

namespace secateur {

// To be called before the first tensor.
void initialise(int threads, bool deterministic);

// Of the headers that this was compiled with.
rust::Str libtorch_version();

// The tensor with channels innermost in memory; one without the usual 4 or 5 dimensions as it is.
std::unique_ptr<at::Tensor> channels_last(const at::Tensor& tensor);

}  // namespace secateur
