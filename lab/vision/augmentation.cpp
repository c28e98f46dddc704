#include "lab/vision/augmentation.hpp"

#include <fmt/format.h>

#include <cmath>

#include "lab/vision/policy.hpp"

namespace gradstab::lab::vision {
namespace {

constexpr int kMostSize = 4096;
constexpr int kMostRepeats = 1000;
constexpr int kMostOperations = 100;
constexpr double kMostAlpha = 1000;

/// Errors: invalid_argument for a number that is not in [least, most]; NaN is in no range.
template <class T>
Status in_range(const char* name, T value, T least, T most) {
  if (value >= least && value <= most) return {};
  return {StatusCode::invalid_argument,
          fmt::format("{} must be from {} to {}, got {}", name, least, most, value)};
}

}  // namespace

Status AugmentationOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(in_range("size", size, 1, kMostSize));
  for (const auto& [name, value] : {std::pair{"flip", flip}, {"erase", erase}})
    GRADSTAB_RETURN_IF_ERROR(in_range(name, value, 0.0, 1.0));
  if (!(scale_least > 0 && scale_least <= scale_most && scale_most <= 1))
    return {StatusCode::invalid_argument,
            fmt::format("the scale of the crop must be a range above 0 and up to 1, got {} to {}",
                        scale_least, scale_most)};
  if (!(ratio_least > 0 && ratio_least <= ratio_most && std::isfinite(ratio_most)))
    return {StatusCode::invalid_argument, fmt::format("the ratio of the crop must be a range above 0, got {} "
                                                      "to {}",
                                                      ratio_least, ratio_most)};
  GRADSTAB_RETURN_IF_ERROR(in_range("padding", padding, 0, size));
  GRADSTAB_RETURN_IF_ERROR(in_range("policy_count", random_augment_count, 1, kMostOperations));
  GRADSTAB_RETURN_IF_ERROR(in_range("policy_magnitude", random_augment_magnitude, 0, kStrengths - 1));
  for (const auto& [name, value] : {std::pair{"mixup", mixup_alpha}, {"cutmix", cutmix_alpha}})
    GRADSTAB_RETURN_IF_ERROR(in_range(name, value, 0.0, kMostAlpha));
  GRADSTAB_RETURN_IF_ERROR(in_range("repeats", repeats, 1, kMostRepeats));
  if (evaluation_resize != 0)
    GRADSTAB_RETURN_IF_ERROR(in_range("eval_resize", evaluation_resize, size, kMostSize));
  return {};
}

}  // namespace gradstab::lab::vision
