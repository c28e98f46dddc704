#include "left_gradients.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "parts.hpp"

namespace gradstab::python {

LeftGradients::Sample LeftGradients::sample_of(const at::Tensor& gradient) {
  Sample sample{};
  if (!gradient.defined() || gradient.layout() != at::kStrided || !gradient.device().is_cpu() ||
      gradient.numel() == 0 || gradient.data_ptr() == nullptr) {
    return sample;
  }
  const std::size_t bytes = std::min(static_cast<std::size_t>(gradient.element_size()), sizeof(sample[0]));
  const auto* data = static_cast<const std::byte*>(gradient.data_ptr());
  const std::int64_t last = gradient.numel() - 1;
  for (std::size_t k = 0; k < kElements; ++k) {
    // Doubles, because the product of large tensors would overflow.
    std::int64_t rest = static_cast<std::int64_t>(static_cast<double>(last) * static_cast<double>(k) /
                                                  static_cast<double>(kElements - 1));
    std::int64_t offset = 0;
    for (std::int64_t dim = gradient.dim() - 1; dim >= 0; --dim) {
      offset += rest % gradient.size(dim) * gradient.stride(dim);
      rest /= gradient.size(dim);
    }
    std::memcpy(&sample[k], data + offset * static_cast<std::int64_t>(gradient.element_size()), bytes);
  }
  return sample;
}

void LeftGradients::remember(const std::vector<at::Tensor>& gradients) {
  left_.clear();
  left_.reserve(gradients.size());
  for (const at::Tensor& gradient : gradients) left_.push_back({GradientMark(gradient), sample_of(gradient)});
}

bool LeftGradients::are(const std::vector<at::Tensor>& gradients) const {
  bool any = false;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const at::Tensor& gradient = gradients[i];
    if (!gradient.defined()) continue;
    // At the same place unless fewer, or in another order, come again.
    auto found = i < left_.size() && left_[i].mark.is(gradient)
                     ? left_.begin() + static_cast<std::ptrdiff_t>(i)
                     : std::ranges::find_if(left_, [&](const Left& left) { return left.mark.is(gradient); });
    if (found == left_.end() || found->sample != sample_of(gradient)) return false;
    any = true;
  }
  return any;
}

bool have_norms(const std::vector<at::Tensor>& tensors, const at::Tensor& norms) {
  const at::Tensor squares = squared_norms(tensors).cpu();
  const at::Tensor expected = norms.cpu().to(at::kDouble).contiguous();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const double now = std::sqrt(squares.data_ptr<double>()[i]);
    const double left = expected.data_ptr<double>()[i];
    if (std::isnan(now) && std::isnan(left)) continue;
    double epsilon = std::numeric_limits<float>::epsilon();
    if (tensors[i].scalar_type() == at::kDouble) epsilon = 16 * std::numeric_limits<double>::epsilon();
    if (tensors[i].scalar_type() == at::kHalf) epsilon = 1.0 / (1 << 10);
    if (tensors[i].scalar_type() == at::kBFloat16) epsilon = 1.0 / (1 << 7);
    if (!(std::abs(now - left) <= epsilon * left)) return false;
  }
  return true;
}

}  // namespace gradstab::python
