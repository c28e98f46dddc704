// Parameters and gradients of torch as lists of TensorRef.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::python {

/// Names with the registered shapes of tensors, or with shapes of their own. Throws.
ParameterSet parameter_set(const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors);
ParameterSet parameter_set(const std::vector<std::string>& names,
                           const std::vector<std::vector<std::int64_t>>& sizes);

/// The shapes are those of tensors.
bool have_shapes(const std::vector<at::Tensor>& tensors, const ParameterSet& set);

/// The reference to a plain tensor, or none to an undefined one. Throws.
TensorRef reference(const at::Tensor& tensor, const std::string& name);

/// Tells autograd that a tensor's memory was written behind its back.
void written(const at::Tensor& tensor);

/// Statistics of parameters as their names and values (float64, of a single number without dimensions), and
/// back. Single numbers share their memory. Throws.
using Statistics = std::tuple<std::vector<std::vector<std::string>>, std::vector<std::vector<at::Tensor>>>;
Statistics to_tensors(const std::vector<std::vector<ParameterStatistic>>& statistics);
std::vector<std::vector<ParameterStatistic>> to_statistics(
    const std::vector<std::vector<std::string>>& names, const std::vector<std::vector<at::Tensor>>& values);

/// Positions as indices. Throws for those outside of `size`.
std::vector<std::size_t> to_indices(const std::vector<std::int64_t>& positions, std::size_t size);

/// Bytes of a saved state as a uint8 tensor, and back.
at::Tensor to_tensor(const std::vector<std::byte>& bytes);
std::vector<std::byte> to_bytes(const at::Tensor& tensor);

}  // namespace gradstab::python
