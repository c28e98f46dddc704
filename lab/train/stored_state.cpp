#include "lab/train/stored_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "gradstab/tensor.hpp"

namespace gradstab::lab {
namespace {

std::optional<DType> dtype_of(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case torch::kFloat:
      return DType::float32;
    case torch::kDouble:
      return DType::float64;
    case torch::kHalf:
      return DType::float16;
    case torch::kBFloat16:
      return DType::bfloat16;
    case torch::kLong:  // such as the number of batches that BatchNorm has seen; exact up to 2^53
      return DType::float64;
    default:
      return {};
  }
}

Status misfit(std::string message) {
  return {StatusCode::shape_mismatch, std::move(message)};
}

}  // namespace

Status CheckpointFiller::add(const std::string& name, const torch::Tensor& tensor) {
  const auto dtype = dtype_of(tensor);
  if (!dtype) {
    return {StatusCode::unsupported, fmt::format("'{}' has dtype {}, which checkpoints do not hold", name,
                                                 torch::toString(tensor.scalar_type()))};
  }
  const bool whole = tensor.scalar_type() == torch::kLong;
  const torch::Tensor values = (whole ? tensor.to(torch::kDouble) : tensor).detach().cpu().contiguous();
  checkpoint_.tensors[name] = {
      *dtype, values.sizes().vec(), {static_cast<const char*>(values.data_ptr()), values.nbytes()}};
  tensors_.push_back(values);
  return {};
}

void CheckpointFiller::add_blob(const std::string& name, std::vector<std::byte> bytes) {
  const auto& kept = blobs_.emplace_back(std::move(bytes));
  checkpoint_.blobs[name] = {reinterpret_cast<const char*>(kept.data()), kept.size()};
}

Status CheckpointLoader::expect(const std::string& name, const torch::Tensor& target) {
  const auto dtype = dtype_of(target);
  const StoredTensor expected{dtype.value_or(DType::float32), target.sizes().vec(), {}};
  const auto found = checkpoint_.tensors.find(name);
  if (!dtype || found == checkpoint_.tensors.end())
    return misfit(fmt::format("it has no tensor '{}', {}", name, expected.type()));
  const StoredTensor& stored = found->second;
  if (stored.dtype != expected.dtype || stored.sizes != expected.sizes) {
    return misfit(fmt::format("tensor '{}' is {}, expected {}", name, stored.type(), expected.type()));
  }
  targets_.emplace_back(&stored, target);
  return {};
}

Status CheckpointLoader::expect_nothing_else(std::string_view prefix) const {
  for (const auto& [name, stored] : checkpoint_.tensors) {
    const auto is_it = [&stored = stored](const auto& target) { return target.first == &stored; };
    if (name.starts_with(prefix) && std::ranges::none_of(targets_, is_it))
      return misfit(fmt::format("it has a tensor '{}', which this run does not have", name));
  }
  return {};
}

void CheckpointLoader::load() const {
  const torch::NoGradGuard no_grad;
  for (const auto& [stored, target] : targets_) {
    const auto stored_type = target.scalar_type() == torch::kLong ? torch::kDouble : target.scalar_type();
    torch::Tensor values =
        torch::empty(target.sizes(), target.options().device(torch::kCPU).dtype(stored_type));
    if (!stored->bytes.empty()) std::memcpy(values.data_ptr(), stored->bytes.data(), stored->bytes.size());
    torch::Tensor(target).copy_(values);
  }
}

Result<std::span<const std::byte>> blob_named(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.blobs.find(name);
  if (found == checkpoint.blobs.end()) return misfit(fmt::format("it has no state '{}'", name));
  return std::as_bytes(std::span(found->second));
}

}  // namespace gradstab::lab
