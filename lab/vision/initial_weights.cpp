#include "lab/vision/initial_weights.hpp"

#include <ATen/Parallel.h>

#include <limits>

namespace gradstab::lab::vision {
namespace {

/// The draws of micro-batches are keyed by their index, which never comes so far.
constexpr std::uint64_t kIndexOfWeights = std::numeric_limits<std::uint64_t>::max();
/// Numbers that a thread makes at least.
constexpr std::int64_t kGrain = 1 << 14;

template <class Number>
torch::Tensor filled(at::IntArrayRef sizes, const Number& number) {
  torch::Tensor tensor = torch::empty(sizes, torch::kFloat);
  float* const values = tensor.data_ptr<float>();
  at::parallel_for(0, tensor.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      values[i] = static_cast<float>(number(static_cast<std::uint64_t>(i)));
  });
  return tensor;
}

}  // namespace

nn::CounterKey InitialWeights::next_key() noexcept {
  return nn::Draw{seed_, kIndexOfWeights}.key(drawn_++);
}

torch::Tensor InitialWeights::normal(at::IntArrayRef sizes, double deviation) {
  const nn::CounterKey key = next_key();
  return filled(sizes, [&](std::uint64_t i) { return deviation * nn::counter_normal(i, key); });
}

torch::Tensor InitialWeights::uniform(at::IntArrayRef sizes, double bound) {
  const nn::CounterKey key = next_key();
  return filled(sizes, [&](std::uint64_t i) { return bound * (2.0 * nn::counter_uniform(i, key) - 1.0); });
}

}  // namespace gradstab::lab::vision
