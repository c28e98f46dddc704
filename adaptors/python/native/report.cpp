#include "report.hpp"

#include <ATen/ATen.h>

namespace gradstab::python {

ReportTensors to_tensors(const StepReport& report) {
  const auto count = static_cast<std::int64_t>(report.tensors.size());
  at::Tensor numbers = at::empty({count, 3}, at::kDouble);
  at::Tensor flags = at::empty({count, 4}, at::kBool);
  auto* number = numbers.data_ptr<double>();
  auto* flag = flags.data_ptr<bool>();
  for (const TensorReport& tensor : report.tensors) {
    *number++ = tensor.raw_norm;
    *number++ = tensor.norm();
    *number++ = tensor.factor;
    *flag++ = tensor.present;
    *flag++ = tensor.finite;
    *flag++ = tensor.spike;
    *flag++ = tensor.zeroed;
  }
  return {numbers,
          flags,
          {static_cast<double>(report.step), report.raw_global_norm, report.global_norm,
           static_cast<double>(report.spikes), static_cast<double>(report.nonfinite),
           report.skip_step ? 1.0 : 0.0}};
}

at::Tensor raw_norms(const StepReport& report) {
  at::Tensor norms = at::empty({static_cast<std::int64_t>(report.tensors.size())}, at::kDouble);
  auto* norm = norms.data_ptr<double>();
  for (const TensorReport& tensor : report.tensors) *norm++ = tensor.raw_norm;
  return norms;
}

}  // namespace gradstab::python
