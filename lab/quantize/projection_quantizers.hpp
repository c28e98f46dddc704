// How both operands of a projection are rounded in quantization-aware training. Without torch.
#pragma once

#include "lab/quantize/fake_quantize.hpp"

namespace gradstab::lab {

/// Outputs, their gradients and everything outside the projections stay as they are.
struct ProjectionQuantizers {
  QuantizerOptions weights;
  QuantizerOptions activations;
};

}  // namespace gradstab::lab
