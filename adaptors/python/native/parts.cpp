#include "parts.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "errors.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "report.hpp"
#include "tensors.hpp"

namespace gradstab::python {
namespace {

bool are_in_host_memory(const std::vector<at::Tensor>& tensors) {
  return std::ranges::all_of(tensors, [](const at::Tensor& tensor) { return tensor.device().is_cpu(); });
}

/// What is stored: of a sparse tensor the elements that are not zero.
at::Tensor stored_values(const at::Tensor& tensor) {
  return tensor.layout() == at::kSparse ? tensor._values() : tensor;
}

}  // namespace

at::Tensor squared_norms_by_torch(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> squares;
  squares.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) {
    // Summed in float64, without a copy of the tensor in it.
    const at::Tensor norm =
        at::linalg_vector_norm(stored_values(tensor), 2, at::OptionalIntArrayRef(), false, at::kDouble);
    squares.push_back(norm.square().to(tensors.front().device()));
  }
  return squares.empty() ? at::empty({0}, at::kDouble) : at::stack(squares);
}

namespace {

/// Names for messages, of tensors that may have none.
ParameterSet numbered(std::size_t count, const std::vector<std::string>& names) {
  std::vector<std::string> all = names;
  for (std::size_t i = all.size(); i < count; ++i) all.push_back(std::to_string(i));
  return parameter_set(all, std::vector<std::vector<std::int64_t>>(all.size()));
}

void scale_in_host_memory(const std::vector<at::Tensor>& tensors, const at::Tensor& factors) {
  const at::Tensor numbers = factors.cpu().to(at::kDouble).contiguous();
  const auto backend = value(find_backend());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const double factor = numbers.data_ptr<double>()[i];
    if (factor == 1.0 || tensors[i].numel() == 0) continue;
    if (factor == 0.0) {
      tensors[i].zero_();
      continue;
    }
    // In contiguous memory the order of the elements does not matter.
    const bool in_place = tensors[i].is_non_overlapping_and_dense();
    at::Tensor dense = in_place ? tensors[i] : tensors[i].contiguous();
    const TensorRef memory = reference(dense, std::to_string(i));
    backend->scale(memory.data, memory.dtype, static_cast<std::size_t>(dense.numel()), factor);
    if (in_place) {
      written(tensors[i]);
    } else {
      tensors[i].copy_(dense);
    }
  }
}

}  // namespace

void scale_by_torch(const std::vector<at::Tensor>& tensors, const at::Tensor& factors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    at::Tensor values = stored_values(tensors[i]);
    const at::Tensor factor = factors[static_cast<std::int64_t>(i)].to(values.device());
    values.mul_(factor);
    values.masked_fill_(factor.eq(0), 0);  // which NaN times 0 is not
  }
}

at::Tensor squared_norms(const std::vector<at::Tensor>& tensors, const std::vector<std::string>& names) {
  PlainTensors plain(TensorUse::transformed_gradients);
  const auto taken = value(plain.take(tensors, numbered(tensors.size(), names)));
  const std::vector<at::Tensor> used(taken.begin(), taken.end());
  if (!are_in_host_memory(used)) return squared_norms_by_torch(used);
  const ParameterSet set = numbered(tensors.size(), names);
  std::vector<std::string> its_names;
  std::vector<TensorRef> references;
  for (std::size_t i = 0; i < used.size(); ++i) {
    its_names.push_back(set[i].name);
    references.push_back(reference(used[i], set[i].name));
  }
  GradientTransform meter = record_norms();
  check(meter.init(parameter_set(its_names, used), {.executor = torch_executor()}));
  const at::Tensor norms = raw_norms(value(meter.update(references)));
  return norms * norms;
}

void scale(const std::vector<at::Tensor>& given, const at::Tensor& factors) {
  if (factors.dim() != 1 || factors.numel() != static_cast<std::int64_t>(given.size())) {
    raise({StatusCode::shape_mismatch, "got " + std::to_string(factors.numel()) + " factors for " +
                                           std::to_string(given.size()) + " tensors"});
  }
  PlainTensors plain(TensorUse::transformed_gradients);
  const auto taken = value(plain.take(given, numbered(given.size(), {})));
  const std::vector<at::Tensor> tensors(taken.begin(), taken.end());
  if (are_in_host_memory(tensors)) {
    scale_in_host_memory(tensors, factors);
  } else {
    scale_by_torch(tensors, factors);
  }
  plain.return_to(given);
}

}  // namespace gradstab::python
