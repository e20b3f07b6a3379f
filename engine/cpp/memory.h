// A limit on the memory of tensors.
//
// libtorch asks one allocator for the memory of every tensor on the CPU. Ours is that one with a count of what is
// alive, and refuses what would go beyond the limit before it is touched. Whoever runs a user's program sets the limit.
#pragma once

#include <cstdint>
#include <optional>

#include "failure.h"

namespace secateur {

// From now on tensors may take `bytes` more than are alive now; 0 ends the limit.
void limit_tensor_memory(uint64_t bytes);

// What was refused since the limit was set, if anything was: an exception on its way through libtorch may have become
// another.
std::optional<Rejected> refused_tensor_memory();

// Throws it, if anything was.
void check_tensor_memory();

}  // namespace secateur
