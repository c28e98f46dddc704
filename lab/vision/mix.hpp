// Mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019) of a batch.
#pragma once

#include <cstddef>
#include <vector>

#include "lab/vision/augmentation.hpp"
#include "lab/vision/batch.hpp"
#include "lab/vision/draws.hpp"

namespace gradstab::lab::vision {

/// What happens to a batch.
struct Mix {
  enum class Kind { none, mixup, cutmix } kind = Kind::none;
  double weight = 1;  ///< of a picture's own label
  Rectangle box;      ///< of cutmix: what comes from the partner
  /// So many places before a picture stands its partner. Repeated augmentation puts copies of a picture side
  /// by side, which would otherwise be mixed with each other.
  std::size_t back = 1;
};

/// By the options, for pictures of this size. The weight of cutmix is that of the box as it is, cut at the
/// borders.
Mix draw_mix(Draws& draws, const AugmentationOptions& options, Size size) noexcept;

/// Cutmix of this weight around a centre: the box has the share 1 - weight of the area, before it is cut.
Mix cutmix_around(int x, int y, double weight, Size size) noexcept;

/// A number of the distribution Beta(alpha, alpha), alpha > 0.
double draw_beta(Draws& draws, double alpha) noexcept;

/// Mixes each picture with its partner, `back` places before it; before the first comes the last. Fills in
/// partner_labels and weight. A single picture is its own partner. `last` is memory.
void mix(const Mix& how, Batch& batch, std::vector<float>& last);

}  // namespace gradstab::lab::vision
