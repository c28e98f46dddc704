#include "tensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "errors.hpp"
#include "gradstab/libtorch_tensor.hpp"

namespace gradstab::python {

ParameterSet parameter_set(const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors) {
  std::vector<std::vector<std::int64_t>> sizes;
  sizes.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) sizes.push_back(tensor.sizes().vec());
  return parameter_set(names, sizes);
}

ParameterSet parameter_set(const std::vector<std::string>& names,
                           const std::vector<std::vector<std::int64_t>>& sizes) {
  if (names.size() != sizes.size()) {
    raise({StatusCode::invalid_argument, "got " + std::to_string(names.size()) + " names for " +
                                             std::to_string(sizes.size()) + " parameters"});
  }
  std::vector<Parameter> parameters;
  parameters.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) parameters.push_back({names[i], sizes[i]});
  return value(ParameterSet::create(std::move(parameters)));
}

void check_is_plain(const at::Tensor& tensor, const std::string& name) {
  // Subclasses that dispatch to Python (DTensor, FakeTensor) have no memory of their own to point to.
  if (!tensor.defined() || !tensor.key_set().has(c10::DispatchKey::Python)) return;
  raise({StatusCode::unsupported,
         "'" + name +
             "' is a tensor subclass such as DTensor, expected a plain tensor; sharded "
             "parameters go through gradient_stabilizer.wrap or GradientTransform"});
}

TensorRef reference(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) return {};
  check_is_plain(tensor, name);
  return value(tensor_ref(tensor, name));
}

const at::Tensor& gradient_of(at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (gradient.defined() && gradient.layout() == at::kSparse && !gradient.is_coalesced()) {
    parameter.mutable_grad() = gradient.coalesce();
  }
  return gradient;
}

void written(const at::Tensor& tensor) {
  if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
}

at::Tensor to_tensor(const std::vector<std::byte>& bytes) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  if (!bytes.empty()) std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

std::vector<std::byte> to_bytes(const at::Tensor& tensor) {
  if (tensor.scalar_type() != at::kByte || tensor.dim() != 1) {
    raise({StatusCode::corrupt_data, std::string("saved state must be a uint8 tensor of rank 1, got ") +
                                         c10::toString(tensor.scalar_type()) + " of rank " +
                                         std::to_string(tensor.dim())});
  }
  const at::Tensor here = tensor.cpu().contiguous();
  std::vector<std::byte> bytes(static_cast<std::size_t>(here.numel()));
  if (!bytes.empty()) std::memcpy(bytes.data(), here.data_ptr(), bytes.size());
  return bytes;
}

}  // namespace gradstab::python
