// What a step amounts to, from the reports of its segments.
#pragma once

#include <span>

#include "gradstab/transform.hpp"

namespace gradstab {

/// The report of a tensor that is in segments. Absent if all are.
TensorReport combined(std::span<const TensorReport> segments) noexcept;

/// Fills in global norms and counts from `summary.tensors`.
void summarize_tensors(StepReport& summary) noexcept;

}  // namespace gradstab
