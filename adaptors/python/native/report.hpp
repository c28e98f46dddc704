// A report as tensors, which is how it crosses into Python.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "gradstab/transform.hpp"

namespace gradstab::python {

/// Numbers, float64 [parameters, 3]: raw norm, norm, factor. Flags, bool [parameters, 4]: present, finite,
/// spike, zeroed. Summary: step, raw global norm, global norm, spikes, nonfinite, skip_step.
using ReportTensors = std::tuple<at::Tensor, at::Tensor, std::vector<double>>;

ReportTensors to_tensors(const StepReport& report);

/// float64 [parameters]: the norms before the step; 0 where there was no gradient.
at::Tensor raw_norms(const StepReport& report);

}  // namespace gradstab::python
