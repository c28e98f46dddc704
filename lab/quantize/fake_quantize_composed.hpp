// fake_quantize composed of PyTorch operations, for tensors on a device.
#pragma once

#include <torch/torch.h>

#include "lab/quantize/fake_quantize.hpp"

namespace gradstab::lab::composed {

/// What gradstab::fake_quantize gives with nearest rounding, bit for bit, of a contiguous float tensor on any
/// device; outside autograd. `by_row`: groups begin anew in every row, which is the last dimension. Throws
/// gradstab::Error where fake_quantize refuses, and for stochastic rounding.
torch::Tensor fake_quantize(const torch::Tensor& x, const QuantizerOptions& options, bool by_row);

}  // namespace gradstab::lab::composed
