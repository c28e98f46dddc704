// Gradients as a transform left them, to notice when the very same come again.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <array>
#include <cstdint>
#include <vector>

#include "aten/tensor.hpp"

namespace gradstab::python {

/// Remembers which tensors they are, autograd's count of their writes and, because some writers go past
/// autograd (`.data`, NumPy, kernels of their own, replayed graphs), a few of the elements that are in host
/// memory. The caller, who knows the norms that it left, compares those as well: `have_norms`.
class LeftGradients final : public torch::CustomClassHolder {
 public:
  void clear() { left_.clear(); }
  void remember(const std::vector<at::Tensor>& gradients);
  /// Whether there are gradients, and all of them are among the remembered and as they were.
  bool are(const std::vector<at::Tensor>& gradients) const;

 private:
  static constexpr std::size_t kElements = 8;
  /// Bits of elements that lie evenly over a tensor, unused ones zero.
  using Sample = std::array<std::uint64_t, kElements>;
  struct Left {
    GradientMark mark;
    Sample sample;
  };
  static Sample sample_of(const at::Tensor& gradient);

  std::vector<Left> left_;
};

/// Whether these tensors have these Euclidean norms (float64, one per tensor), as exactly as the tensors'
/// dtype can hold what was multiplied. Waits where they are on a device.
bool have_norms(const std::vector<at::Tensor>& tensors, const at::Tensor& norms);

}  // namespace gradstab::python
