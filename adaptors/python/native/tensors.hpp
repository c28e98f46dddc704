// Parameters and gradients of torch as lists of TensorRef.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

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

/// The reference to a tensor, or none to an undefined one. Throws.
TensorRef reference(const at::Tensor& tensor, const std::string& name);

/// The gradient of a parameter. One that is sparse and not coalesced is replaced by its coalesced form first,
/// because values of the same element add up before their norm means anything.
const at::Tensor& gradient_of(at::Tensor& parameter);

/// Tells autograd that a tensor's memory was written behind its back.
void written(const at::Tensor& tensor);

/// A gradient as it was at one time, by identity and version.
class GradientMark {
 public:
  explicit GradientMark(const at::Tensor& gradient);

  /// Whether this is that gradient and, as far as autograd knows, nobody has written to it since.
  bool is(const at::Tensor& gradient) const;

 private:
  // Weak, so that the gradient can go; its address is not used again as long as this is here.
  c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> tensor_;
  std::int64_t version_;
};

/// Remembers gradients as they were left, to notice when the very same come again.
class LeftGradients {
 public:
  void clear() { left_.clear(); }
  void remember(const std::vector<at::Tensor>& gradients);
  /// Whether there are gradients, and all of them are as they were left.
  bool are(const std::vector<at::Tensor>& gradients) const;

 private:
  std::vector<GradientMark> left_;
};

/// Bytes of a saved state as a uint8 tensor, and back.
at::Tensor to_tensor(const std::vector<std::byte>& bytes);
std::vector<std::byte> to_bytes(const at::Tensor& tensor);

}  // namespace gradstab::python
