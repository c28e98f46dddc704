// Tensors of a test as those of an emulated device, whose memory is the host's.
#pragma once

#include <span>
#include <vector>

#include "gradstab/cuda.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab::testing {

inline std::vector<TensorRef> on_device(std::span<const TensorRef> tensors) {
  std::vector<TensorRef> result(tensors.begin(), tensors.end());
  for (TensorRef& tensor : result) tensor.device = DeviceType::cuda;
  return result;
}

inline cuda::DeviceOptions emulated(NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor) {
  cuda::DeviceOptions options;
  options.emulate = true;
  options.nonfinite = nonfinite;
  return options;
}

/// The report of the last step, copied.
inline std::vector<TensorReport> reports_of(cuda::OnDevice& subject) {
  subject.request_report().check();
  const StepReport report = subject.report().value();
  return {report.tensors.begin(), report.tensors.end()};
}

}  // namespace gradstab::testing
