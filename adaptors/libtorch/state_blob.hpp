// State bytes as the tensors that LibTorch's archives hold.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab {

inline at::Tensor blob_of(std::span<const std::byte> bytes) {
  at::Tensor blob = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  if (!bytes.empty()) std::memcpy(blob.data_ptr(), bytes.data(), bytes.size());
  return blob;
}

/// Errors: a tensor that is no list of bytes.
inline Result<std::vector<std::byte>> bytes_in(const at::Tensor& blob) {
  if (!blob.defined() || blob.scalar_type() != at::kByte || blob.layout() != at::kStrided)
    return Status(StatusCode::corrupt_data, "the archive's state is not a tensor of bytes");
  const at::Tensor here = blob.cpu().contiguous();
  const auto* const data = static_cast<const std::byte*>(here.data_ptr());
  return std::vector<std::byte>(data, data + here.numel());
}

}  // namespace gradstab
