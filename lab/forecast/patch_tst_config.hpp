// Sizes of PatchTST, without torch.
#pragma once

#include <cstdint>

#include "gradstab/status.hpp"

namespace gradstab::lab::forecast {

/// The sizes of a PatchTST (Nie et al. 2023, arXiv:2211.14730) in its supervised form. Defaults are the
/// published ones of Weather.
struct PatchTstConfig {
  std::int64_t look_back = 336;    ///< steps that the model sees
  std::int64_t horizon = 96;       ///< steps that it forecasts
  std::int64_t patch_length = 16;  ///< steps that one position of the encoder reads
  std::int64_t patch_stride = 8;   ///< steps from one patch to the next
  std::int64_t layers = 3;
  std::int64_t heads = 16;
  std::int64_t width = 128;   ///< features per patch (d_model)
  std::int64_t hidden = 256;  ///< of the feed-forward block (d_ff)
  double dropout = 0.2;       ///< rate in [0, 1), at every place but attention's weights and the head
  /// Learned gain and bias of each channel in the normalization of the input window, off as published; then
  /// the model needs to know how many channels there are.
  bool revin_affine = false;
  std::int64_t channels = 0;  ///< only for revin_affine
  /// Published behaviour: the inverse of the learned normalization divides by gain + 1e-10 (its epsilon
  /// squared) rather than by the gain. Only matters with revin_affine.
  bool compat_revin_inverse = false;

  /// Patches of a window, the one that the repeated last value fills up included.
  std::int64_t patches() const noexcept { return (look_back - patch_length) / patch_stride + 2; }
  /// Trainable numbers.
  std::int64_t parameter_count() const noexcept;
  /// invalid_argument, naming the value and what was expected.
  Status validate() const;
};

}  // namespace gradstab::lab::forecast
