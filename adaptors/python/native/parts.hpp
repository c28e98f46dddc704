// Gradients of which every process has a part: measured and scaled here, decided on elsewhere.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace gradstab::python {

/// Squared norms (float64) of tensors of any layout and dtype, on the device of the first, by the library's
/// own measurement where they are in host memory. `names` are for messages; without them tensors are
/// numbered.
at::Tensor squared_norms(const std::vector<at::Tensor>& tensors, const std::vector<std::string>& names = {});

/// Multiplies in place by factors (float64); 0 gives zeros also where there was NaN. Rounds once in host
/// memory, on devices as torch does.
void scale(const std::vector<at::Tensor>& tensors, const at::Tensor& factors);

// What both do for tensors elsewhere: torch's own operations, for which nobody waits.
at::Tensor squared_norms_by_torch(const std::vector<at::Tensor>& tensors);
void scale_by_torch(const std::vector<at::Tensor>& tensors, const at::Tensor& factors);

}  // namespace gradstab::python
