// Parameters and gradients of torch as lists of TensorRef.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gradstab/parameter_set.hpp"
#include "gradstab/tensor_ref.hpp"

namespace gradstab::python {

/// Names with the shapes of tensors, or with shapes of their own. Throws.
ParameterSet parameter_set(const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors);
ParameterSet parameter_set(const std::vector<std::string>& names,
                           const std::vector<std::vector<std::int64_t>>& sizes);

/// Throws for a subclass of Tensor that has no memory of its own.
void check_is_plain(const at::Tensor& tensor, const std::string& name);

/// The reference to a tensor, or none to an undefined one. Throws.
TensorRef reference(const at::Tensor& tensor, const std::string& name);

/// The gradient of a parameter. One that is sparse and not coalesced is replaced by its coalesced form first,
/// because values of the same element add up before their norm means anything.
const at::Tensor& gradient_of(at::Tensor& parameter);

/// Tells autograd that a tensor's memory was written behind its back.
void written(const at::Tensor& tensor);

/// Bytes of a saved state as a uint8 tensor, and back.
at::Tensor to_tensor(const std::vector<std::byte>& bytes);
std::vector<std::byte> to_bytes(const at::Tensor& tensor);

}  // namespace gradstab::python
