// How the nodes of the loss go through the rows without ever holding all the logits.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>

namespace gradstab::lab {

/// Rows whose logits are computed together: 8 MB of float logits, which later passes find in the cache.
inline std::int64_t loss_slice_rows(std::int64_t rows, std::int64_t classes) {
  constexpr std::int64_t kSliceElements = 1 << 21;
  return std::clamp<std::int64_t>(kSliceElements / classes, 1, rows);
}

/// How many of the targets are counted (not negative). Throws c10::Error unless there is one below `classes`
/// for each row.
inline std::int64_t count_targets(const torch::Tensor& targets, std::int64_t rows, std::int64_t classes) {
  TORCH_CHECK(targets.numel() == rows && rows > 0, "one target per row is needed");
  TORCH_CHECK(targets.max().item<std::int64_t>() < classes, "a target is outside the ", classes, " classes");
  return (targets >= 0).sum().item<std::int64_t>();
}

}  // namespace gradstab::lab
