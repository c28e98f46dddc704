// Tensors of the C interface to those of the C++ library, and reports back.
#pragma once

#include "gradstab/gradstab.h"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"
#include "handle.hpp"

namespace gradstab::c {

/// Numbers from outside may be anything until they have been looked at.
Result<TensorRef> read_tensor(const gradstab_tensor& given, const Parameter& parameter,
                              const char* role = "gradient of");

gradstab_tensor_report to_c(const TensorReport& report) noexcept;

/// Keeps what every tensor reported; room was made before.
void keep_tensors(const StepReport& report, Handle& handle) noexcept;

/// Of the tensors kept before, and with the rows.
gradstab_step_report to_c(const StepReport& report, Handle& handle) noexcept;

}  // namespace gradstab::c
