#include "core/step/step_summary.hpp"

#include <cmath>

#include "core/base/floating_point.hpp"
#include "core/step/global_norm.hpp"

namespace gradstab {

TensorReport combined(std::span<const TensorReport> segments) noexcept {
  TensorReport tensor;
  tensor.raw_norm = root_of_squares(segments.size(), [&](std::size_t i) { return segments[i].raw_norm; });
  for (const TensorReport& segment : segments) {
    tensor.present = tensor.present || segment.present;
    tensor.finite = tensor.finite && segment.finite;
    tensor.spike = tensor.spike || segment.spike;
    tensor.zeroed = tensor.zeroed || segment.zeroed;
  }
  const double after = root_of_squares(segments.size(), [&](std::size_t i) { return segments[i].norm(); });
  if (tensor.raw_norm > 0.0 && detail::is_finite(after / tensor.raw_norm))
    tensor.factor = after / tensor.raw_norm;
  return tensor;
}

void summarize_tensors(StepReport& summary) noexcept {
  const auto global = [&](auto norm) {
    return root_of_squares(summary.tensors.size(), [&](std::size_t t) {
      const TensorReport& report = summary.tensors[t];
      return report.present && report.finite ? norm(report) : 0.0;
    });
  };
  summary.raw_global_norm = global([](const TensorReport& report) { return report.raw_norm; });
  summary.global_norm = global([](const TensorReport& report) { return report.norm(); });
  for (const TensorReport& report : summary.tensors) {
    summary.spikes += report.spike ? 1 : 0;
    summary.nonfinite += report.finite ? 0 : 1;
  }
}

}  // namespace gradstab
