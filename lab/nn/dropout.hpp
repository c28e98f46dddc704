// Dropout whose masks are functions of (seed, micro-batch, place), as a differentiable function of tensors.
#pragma once

#include <torch/torch.h>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::nn {

/// x with each element set to 0 with probability `rate` in [0, 1) and the others multiplied by 1/(1-rate)
/// (Srivastava et al. 2014). Element i, counted in row-major order, is dropped as `key` says: the same mask
/// on every device and for every number of threads. Nothing is kept for the backward pass, which makes the
/// mask again. Rate 0 gives x itself. First derivatives only; throws c10::Error for a rate outside [0, 1) and
/// for more than kMostCounterElements elements.
torch::Tensor dropout(const torch::Tensor& x, double rate, CounterKey key);

namespace composed {
/// The same of PyTorch operations, for any device and dtype; what the tests compare with.
torch::Tensor dropout(const torch::Tensor& x, double rate, CounterKey key);
/// 1/(1-rate) where an element is kept, else 0: as many as x has, in its shape, dtype and device.
torch::Tensor dropout_factors(const torch::Tensor& x, double rate, CounterKey key);
}  // namespace composed

}  // namespace gradstab::lab::nn
