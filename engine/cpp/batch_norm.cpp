// Batch norm over activations with channels innermost.
//
// libtorch walks over the places of a picture and over the channels of each with vectors of 8 or 16, and takes a call
// of `memmove` for what is left of them. A cut network has 3, 11 or 45 channels: most of that is what is left, and this
// operator alone takes several times as long as all convolutions. Here so many places are taken together that their
// channels fill whole vectors. Each place in a vector sums up some values in float32, and these sums in float64.

#include "batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SECATEUR_VECTORS \
  __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default"), optimize("O3")))
#else
#define SECATEUR_VECTORS
#endif

namespace secateur {
namespace {

// Floats of the longest vector, and those that a block has at least.
constexpr int64_t kVector = 16;
constexpr int64_t kBlock = 256;
// Blocks whose sums are taken in float before they are added up in double.
constexpr int64_t kBlocksOfASum = 128;
// Elements of a thread's share at least.
constexpr int64_t kGrain = 16384;
// Channels from which libtorch's is the faster one in bfloat16 (measured on two cores with AVX-512).
constexpr int64_t kManyInBfloat16 = 96;

// bfloat16 as its bits.
using Half = uint16_t;

inline float load(float value) { return value; }

inline float load(Half value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

inline void store(float& to, float value) { to = value; }

// To the nearest, of two that are equally near to the even one; not a number stays it.
inline void store(Half& to, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  to = static_cast<Half>(value != value ? 0x7fc0 : rounded);
}

// The loops over whole blocks of `size` elements. What stands beside a block is as long, the channels over and over.

template <typename T>
SECATEUR_VECTORS void add_up(const T* x, int64_t blocks, int64_t size, float* __restrict sums) {
  for (int64_t block = 0; block < blocks; ++block, x += size) {
    for (int64_t i = 0; i < size; ++i) sums[i] += load(x[i]);
  }
}

template <typename T>
SECATEUR_VECTORS void add_up_squares(
    const T* x, int64_t blocks, int64_t size, const float* __restrict mean, float* __restrict sums) {
  for (int64_t block = 0; block < blocks; ++block, x += size) {
    for (int64_t i = 0; i < size; ++i) {
      const float left = load(x[i]) - mean[i];
      sums[i] += left * left;
    }
  }
}

template <typename T>
SECATEUR_VECTORS void add_up_products(
    const T* x, const T* slope, int64_t blocks, int64_t size, const float* __restrict mean, float* __restrict sums,
    float* __restrict products) {
  for (int64_t block = 0; block < blocks; ++block, x += size, slope += size) {
    for (int64_t i = 0; i < size; ++i) {
      const float own = load(slope[i]);
      sums[i] += own;
      products[i] += own * (load(x[i]) - mean[i]);
    }
  }
}

template <typename T>
SECATEUR_VECTORS void scale(
    const T* x, int64_t blocks, int64_t size, const float* __restrict factor, const float* __restrict shift,
    T* __restrict to) {
  for (int64_t block = 0; block < blocks; ++block, x += size, to += size) {
    for (int64_t i = 0; i < size; ++i) store(to[i], load(x[i]) * factor[i] + shift[i]);
  }
}

template <typename T>
SECATEUR_VECTORS void combine(
    const T* x, const T* slope, int64_t blocks, int64_t size, const float* __restrict of_slope,
    const float* __restrict of_x, const float* __restrict shift, T* __restrict to) {
  for (int64_t block = 0; block < blocks; ++block, x += size, slope += size, to += size) {
    for (int64_t i = 0; i < size; ++i) store(to[i], load(slope[i]) * of_slope[i] + load(x[i]) * of_x[i] + shift[i]);
  }
}

// How rows of channels lie in blocks.
struct Rows {
  int64_t rows, channels, rows_of_a_block, size;

  explicit Rows(const at::Tensor& x) : rows(x.numel() / x.size(1)), channels(x.size(1)) {
    rows_of_a_block = kVector / std::gcd(channels, kVector);
    rows_of_a_block *= (kBlock + rows_of_a_block * channels - 1) / (rows_of_a_block * channels);
    size = rows_of_a_block * channels;
  }

  int64_t blocks() const { return rows / rows_of_a_block; }
  // Elements that no block has.
  int64_t rest() const { return rows % rows_of_a_block * channels; }

  std::vector<float> spread(const std::vector<double>& values) const {
    std::vector<float> spread(size);
    for (int64_t i = 0; i < size; ++i) spread[i] = static_cast<float>(values[i % channels]);
    return spread;
  }

  // Calls `each(first block, blocks)` on all threads.
  template <typename Each>
  void everywhere(const Each& each) const {
    at::parallel_for(0, blocks(), std::max<int64_t>(kGrain / size, 1), [&](int64_t first, int64_t end) {
      each(first, end - first);
    });
  }

  // Sums by channel, each of `kinds` of them: `some(first block, blocks, sums)` adds up blocks, `one(element, channel,
  // sums)` an element of the rest.
  template <typename Some, typename One>
  std::vector<std::vector<double>> sums(int64_t kinds, const Some& some, const One& one) const {
    const int threads = at::get_num_threads();
    std::vector<std::vector<double>> of_threads(threads, std::vector<double>(kinds * size, 0.0));
    everywhere([&](int64_t first, int64_t count) {
      std::vector<double>& total = of_threads[at::get_thread_num()];
      std::vector<float> part(kinds * size);
      for (int64_t done = 0; done < count; done += kBlocksOfASum) {
        std::fill(part.begin(), part.end(), 0.0F);
        some(first + done, std::min(kBlocksOfASum, count - done), part.data());
        for (size_t i = 0; i < part.size(); ++i) total[i] += part[i];
      }
    });
    std::vector<std::vector<double>> by_channel(kinds, std::vector<double>(channels, 0.0));
    for (const std::vector<double>& total : of_threads) {
      for (int64_t i = 0; i < kinds * size; ++i) by_channel[i / size][i % size % channels] += total[i];
    }
    for (int64_t i = 0; i < rest(); ++i) one(blocks() * size + i, i % channels, by_channel);
    return by_channel;
  }
};

template <typename T>
const T* elements(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* mutable_elements(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

std::vector<double> numbers(const at::Tensor& tensor, int64_t count, double otherwise) {
  std::vector<double> numbers(count, otherwise);
  if (!tensor.defined()) return numbers;
  const at::Tensor flat = tensor.contiguous();
  std::copy_n(flat.const_data_ptr<float>(), count, numbers.begin());
  return numbers;
}

at::Tensor tensor_of(const std::vector<double>& values, const at::Tensor& like) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, like.options().dtype(at::kFloat));
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
  return tensor;
}

struct Statistics {
  std::vector<double> mean, variance;
};

// What normalises: value * factor + shift.
struct Affine {
  std::vector<double> factor, shift;

  Affine(
      const at::Tensor& weight, const at::Tensor& bias, const std::vector<double>& mean,
      const std::vector<double>& inverse)
      : factor(numbers(weight, mean.size(), 1.0)), shift(numbers(bias, mean.size(), 0.0)) {
    for (size_t c = 0; c < mean.size(); ++c) {
      factor[c] *= inverse[c];
      shift[c] -= mean[c] * factor[c];
    }
  }
};

// One over the standard deviations.
std::vector<double> inverses(std::vector<double> variance, double epsilon) {
  for (double& value : variance) value = 1.0 / std::sqrt(value + epsilon);
  return variance;
}

template <typename T>
Statistics statistics(const at::Tensor& input) {
  const Rows rows(input);
  const T* x = elements<T>(input);
  const double count = static_cast<double>(rows.rows);
  std::vector<double> mean = rows.sums(
      1, [&](int64_t first, int64_t blocks, float* sums) { add_up(x + first * rows.size, blocks, rows.size, sums); },
      [&](int64_t at, int64_t channel, auto& sums) { sums[0][channel] += load(x[at]); })[0];
  for (double& value : mean) value /= count;
  const std::vector<float> means = rows.spread(mean);
  std::vector<double> variance = rows.sums(
      1,
      [&](int64_t first, int64_t blocks, float* sums) {
        add_up_squares(x + first * rows.size, blocks, rows.size, means.data(), sums);
      },
      [&](int64_t at, int64_t channel, auto& sums) {
        const double left = load(x[at]) - mean[channel];
        sums[0][channel] += left * left;
      })[0];
  for (double& value : variance) value /= count;
  return {std::move(mean), std::move(variance)};
}

template <typename T>
at::Tensor scaled_as(const at::Tensor& input, const Affine& affine) {
  const Rows rows(input);
  at::Tensor output = at::empty_like(input);
  const T* x = elements<T>(input);
  T* y = mutable_elements<T>(output);
  const std::vector<float> factors = rows.spread(affine.factor), shifts = rows.spread(affine.shift);
  rows.everywhere([&](int64_t first, int64_t blocks) {
    const int64_t at = first * rows.size;
    scale(x + at, blocks, rows.size, factors.data(), shifts.data(), y + at);
  });
  for (int64_t i = 0, at = rows.blocks() * rows.size; i < rows.rest(); ++i, ++at) {
    store(y[at], load(x[at]) * factors[i] + shifts[i]);
  }
  return output;
}

at::Tensor scaled(const at::Tensor& input, const Affine& affine) {
  return input.scalar_type() == at::kFloat ? scaled_as<float>(input, affine) : scaled_as<Half>(input, affine);
}

struct Slopes {
  at::Tensor input;
  std::vector<double> weight, bias;
};

// `of_batch`: whether mean and deviation are those of `input`.
template <typename T>
Slopes slopes(
    const at::Tensor& input, const at::Tensor& of_output, const std::vector<double>& mean,
    const std::vector<double>& inverse, const std::vector<double>& weight, bool of_batch, bool of_input) {
  const Rows rows(input);
  const T* x = elements<T>(input);
  const T* slope = elements<T>(of_output);
  const double count = static_cast<double>(rows.rows);
  const std::vector<float> means = rows.spread(mean);
  std::vector<std::vector<double>> sums = rows.sums(
      2,
      [&](int64_t first, int64_t blocks, float* sums) {
        const int64_t at = first * rows.size;
        add_up_products(x + at, slope + at, blocks, rows.size, means.data(), sums, sums + rows.size);
      },
      [&](int64_t at, int64_t channel, auto& sums) {
        sums[0][channel] += load(slope[at]);
        sums[1][channel] += load(slope[at]) * (load(x[at]) - mean[channel]);
      });
  Slopes found{at::Tensor(), sums[1], sums[0]};
  const int64_t channels = rows.channels;
  for (int64_t c = 0; c < channels; ++c) found.weight[c] *= inverse[c];
  if (!of_input) return found;

  std::vector<double> of_slope(channels), of_x(channels), shift(channels);
  for (int64_t c = 0; c < channels; ++c) {
    of_slope[c] = inverse[c] * weight[c];
    // Statistics that are not the batch's do not move with the input.
    if (!of_batch) continue;
    const double along = sums[1][c] * inverse[c] * inverse[c] / count;
    of_x[c] = -along * of_slope[c];
    shift[c] = (mean[c] * along - sums[0][c] / count) * of_slope[c];
  }
  const std::vector<float> slope_factors = rows.spread(of_slope), x_factors = rows.spread(of_x),
                           shifts = rows.spread(shift);
  found.input = at::empty_like(input);
  T* to = mutable_elements<T>(found.input);
  rows.everywhere([&](int64_t first, int64_t blocks) {
    const int64_t at = first * rows.size;
    combine(x + at, slope + at, blocks, rows.size, slope_factors.data(), x_factors.data(), shifts.data(), to + at);
  });
  for (int64_t i = 0, at = rows.blocks() * rows.size; i < rows.rest(); ++i, ++at) {
    store(to[at], load(slope[at]) * slope_factors[i] + load(x[at]) * x_factors[i] + shifts[i]);
  }
  return found;
}

at::MemoryFormat layout(const at::Tensor& tensor) {
  return tensor.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

// Moves a running statistic towards that of a batch.
void follow(const at::Tensor& running, const std::vector<double>& of_batch, double momentum, double factor) {
  if (!running.defined()) return;
  float* values = running.mutable_data_ptr<float>();
  for (size_t c = 0; c < of_batch.size(); ++c) {
    values[c] = static_cast<float>((1.0 - momentum) * values[c] + momentum * factor * of_batch[c]);
  }
}

class BatchNorm : public torch::autograd::Function<BatchNorm> {
 public:
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
      const at::Tensor& bias, const at::Tensor& running_mean, const at::Tensor& running_variance, bool of_batch,
      double momentum, double epsilon) {
    const int64_t channels = input.size(1);
    Statistics used;
    if (of_batch) {
      used = input.scalar_type() == at::kFloat ? statistics<float>(input) : statistics<Half>(input);
      const double count = static_cast<double>(input.numel() / channels);
      follow(running_mean, used.mean, momentum, 1.0);
      follow(running_variance, used.variance, momentum, count / (count - 1.0));
    } else {
      used = {numbers(running_mean, channels, 0.0), numbers(running_variance, channels, 1.0)};
    }
    const std::vector<double>& mean = used.mean;
    const std::vector<double> inverse = inverses(used.variance, epsilon);
    context->saved_data["of_batch"] = of_batch;
    context->save_for_backward({input, weight, tensor_of(mean, input), tensor_of(inverse, input)});
    context->saved_data["has_bias"] = bias.defined();
    return scaled(input, Affine(weight, bias, mean, inverse));
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, const torch::autograd::variable_list& of_outputs) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &weight = saved[1];
    const int64_t channels = input.size(1);
    const at::Tensor of_output = of_outputs[0].to(input.scalar_type()).contiguous(layout(input));
    const std::vector<double> mean = numbers(saved[2], channels, 0.0), inverse = numbers(saved[3], channels, 1.0),
                              weights = numbers(weight, channels, 1.0);
    const bool of_batch = context->saved_data["of_batch"].toBool(), of_input = context->needs_input_grad(0);
    const Slopes found = input.scalar_type() == at::kFloat
        ? slopes<float>(input, of_output, mean, inverse, weights, of_batch, of_input)
        : slopes<Half>(input, of_output, mean, inverse, weights, of_batch, of_input);
    torch::autograd::variable_list result(8);
    result[0] = found.input;
    if (weight.defined()) result[1] = tensor_of(found.weight, input);
    if (context->saved_data["has_bias"].toBool()) result[2] = tensor_of(found.bias, input);
    return result;
  }
};

bool is_plain(const at::Tensor& tensor, int64_t channels) {
  return !tensor.defined() ||
      (tensor.scalar_type() == at::kFloat && tensor.is_contiguous() && tensor.is_cpu() && tensor.numel() == channels);
}

at::Tensor tensor_or_none(const c10::IValue& value) { return value.isNone() ? at::Tensor() : value.toTensor(); }

}  // namespace

bool batch_norm(torch::jit::Stack& stack) {
  if (stack.size() != 9 || !stack[5].isBool() || !stack[6].isDouble() || !stack[7].isDouble()) return false;
  const at::Tensor input = stack[0].toTensor();
  const bool is_float = input.scalar_type() == at::kFloat;
  if (!input.is_cpu() || (!is_float && input.scalar_type() != at::kBFloat16)) return false;
  if ((input.dim() != 4 && input.dim() != 5) || !input.is_contiguous(layout(input)) || input.numel() == 0) return false;
  const int64_t channels = input.size(1);
  if (channels % kVector == 0 || (!is_float && channels >= kManyInBfloat16)) return false;
  at::Tensor tensors[4];
  for (size_t index = 0; index < 4; ++index) {
    tensors[index] = tensor_or_none(stack[index + 1]);
    if (!is_plain(tensors[index], channels)) return false;
  }
  const auto& [weight, bias, running_mean, running_variance] = tensors;
  const double momentum = stack[6].toDouble(), epsilon = stack[7].toDouble();
  const bool of_batch = stack[5].toBool();
  if (of_batch ? input.numel() / channels < 2 : !running_mean.defined() || !running_variance.defined()) return false;
  at::Tensor output =
      BatchNorm::apply(input, weight, bias, running_mean, running_variance, of_batch, momentum, epsilon);
  stack.clear();
  stack.emplace_back(std::move(output));
  return true;
}

}  // namespace secateur
