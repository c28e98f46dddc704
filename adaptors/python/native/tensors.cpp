#include "tensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "errors.hpp"

namespace gradstab::python {

ParameterSet parameter_set(const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors) {
  std::vector<std::vector<std::int64_t>> sizes;
  sizes.reserve(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    sizes.push_back(value(registered_shape(tensors[i], i < names.size() ? names[i] : std::string())));
  }
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

bool have_shapes(const std::vector<at::Tensor>& tensors, const ParameterSet& set) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!has_shape(tensors[i], set[i].sizes)) return false;
  }
  return true;
}

TensorRef reference(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) return {};
  return value(tensor_ref(tensor, name));
}

void written(const at::Tensor& tensor) {
  if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
}

Statistics to_tensors(const std::vector<std::vector<ParameterStatistic>>& statistics) {
  std::vector<double> single;
  for (const auto& list : statistics) {
    for (const ParameterStatistic& statistic : list) {
      if (statistic.values.size() == 1) single.push_back(statistic.values.front());
    }
  }
  const at::Tensor all = at::tensor(single, at::kDouble);
  std::int64_t next = 0;
  Statistics result;
  auto& [names, values] = result;
  for (const auto& list : statistics) {
    auto& its_names = names.emplace_back();
    auto& its_values = values.emplace_back();
    for (const ParameterStatistic& statistic : list) {
      its_names.push_back(statistic.name);
      its_values.push_back(statistic.values.size() == 1 ? all.select(0, next++)
                                                        : at::tensor(statistic.values, at::kDouble));
    }
  }
  return result;
}

std::vector<std::vector<ParameterStatistic>> to_statistics(
    const std::vector<std::vector<std::string>>& names, const std::vector<std::vector<at::Tensor>>& values) {
  if (names.size() != values.size()) {
    raise({StatusCode::invalid_argument, "got names of " + std::to_string(names.size()) + " and values of " +
                                             std::to_string(values.size()) + " parameters"});
  }
  std::vector<std::vector<ParameterStatistic>> statistics;
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto& list = statistics.emplace_back();
    for (std::size_t k = 0; k < names[i].size() && k < values[i].size(); ++k) {
      const at::Tensor numbers = values[i][k].cpu().to(at::kDouble).contiguous();
      const auto* data = numbers.data_ptr<double>();
      list.push_back({names[i][k], {data, data + numbers.numel()}});
    }
  }
  return statistics;
}

std::vector<std::size_t> to_indices(const std::vector<std::int64_t>& positions, std::size_t size) {
  std::vector<std::size_t> indices;
  for (const std::int64_t position : positions) {
    if (position < 0 || position >= static_cast<std::int64_t>(size)) {
      raise({StatusCode::invalid_argument, "position " + std::to_string(position) + " is outside of the " +
                                               std::to_string(size) + " registered parameters"});
    }
    indices.push_back(static_cast<std::size_t>(position));
  }
  return indices;
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
