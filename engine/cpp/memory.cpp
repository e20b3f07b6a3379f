#include "memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <malloc.h>

#include <atomic>
#include <limits>
#include <string>

namespace secateur {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

std::atomic<uint64_t> alive{0};
std::atomic<uint64_t> ceiling{kNoLimit};
std::atomic<uint64_t> allowed{0};
// The size of the tensor that was refused.
std::atomic<uint64_t> refused{0};

Rejected refusal(uint64_t bytes) {
  return Rejected(
      "out_of_memory",
      "The model asks for a tensor of " + std::to_string(bytes) + " bytes; beside its file it may hold " +
          std::to_string(allowed.load()) + " bytes of tensors while it is imported.",
      "", "Give a smaller `input_shape`, or take apart what makes tensors of this size.");
}

void release(void* data) {
  alive.fetch_sub(malloc_usable_size(data), std::memory_order_relaxed);
  c10::free_cpu(data);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const uint64_t before = alive.load(std::memory_order_relaxed);
    const uint64_t most = ceiling.load(std::memory_order_relaxed);
    if (bytes > most || before > most - bytes) {
      refused.store(bytes);
      throw refusal(bytes);
    }
    void* data = c10::alloc_cpu(bytes);
    alive.fetch_add(malloc_usable_size(data), std::memory_order_relaxed);
    return {data, data, &release, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }
};

}  // namespace

void limit_tensor_memory(uint64_t bytes) {
  if (bytes == 0) {
    ceiling.store(kNoLimit);
    return;
  }
  static CountingAllocator allocator;
  static const bool installed = [] {
    c10::SetCPUAllocator(&allocator, /*priority=*/100);
    return true;
  }();
  (void)installed;
  refused.store(0);
  allowed.store(bytes);
  const uint64_t now = alive.load();
  ceiling.store(bytes > kNoLimit - now ? kNoLimit : now + bytes);
}

std::optional<Rejected> refused_tensor_memory() {
  const uint64_t bytes = refused.load();
  return bytes == 0 ? std::nullopt : std::optional<Rejected>(refusal(bytes));
}

void check_tensor_memory() {
  if (const auto refused = refused_tensor_memory()) throw *refused;
}

}  // namespace secateur
