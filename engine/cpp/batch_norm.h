// Batch norm for networks of few channels.
#pragma once

#include <ATen/core/stack.h>

namespace secateur {

// Does what `aten::batch_norm` does with these arguments and puts the result in their place. Where libtorch's own is
// the better one it does nothing and says so: it is for the CPU, float32 or bfloat16 and channels innermost in memory,
// and does not evaluate for gradients.
bool batch_norm(torch::jit::Stack& stack);

}  // namespace secateur
