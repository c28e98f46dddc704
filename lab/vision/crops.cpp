#include "lab/vision/crops.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gradstab::lab::vision {
namespace {

constexpr int kTries = 10;

/// To the nearest whole number, halves to the even one.
int nearest(double value) {
  return static_cast<int>(std::nearbyint(value));
}

}  // namespace

Rectangle draw_resized_crop(Draws& draws, const AugmentationOptions& options, Size picture) noexcept {
  const double area = static_cast<double>(picture.width) * picture.height;
  for (int i = 0; i < kTries; ++i) {
    const double part = area * draws.uniform(options.scale_least, options.scale_most);
    const double ratio = std::exp(draws.uniform(std::log(options.ratio_least), std::log(options.ratio_most)));
    const int width = nearest(std::sqrt(part * ratio)), height = nearest(std::sqrt(part / ratio));
    if (width < 1 || width > picture.width || height < 1 || height > picture.height) continue;
    const int top = draws.below(picture.height - height + 1);
    return {draws.below(picture.width - width + 1), top, width, height};
  }
  return central_crop(options, picture);
}

Rectangle central_crop(const AugmentationOptions& options, Size picture) noexcept {
  const double ratio = static_cast<double>(picture.width) / picture.height;
  auto [width, height] = picture;
  if (ratio < options.ratio_least)
    height = std::clamp(nearest(width / options.ratio_least), 1, picture.height);
  else if (ratio > options.ratio_most)
    width = std::clamp(nearest(height * options.ratio_most), 1, picture.width);
  return {(picture.width - width) / 2, (picture.height - height) / 2, width, height};
}

EvaluationView evaluation_view(const AugmentationOptions& options, Size picture) noexcept {
  Size resized = picture;
  if (options.evaluation_resize > 0) {
    const std::int64_t side = options.evaluation_resize;
    if (picture.width <= picture.height)
      resized = {options.evaluation_resize, static_cast<int>(side * picture.height / picture.width)};
    else
      resized = {static_cast<int>(side * picture.width / picture.height), options.evaluation_resize};
  }
  const auto middle = [&](int length) { return nearest((length - options.size) / 2.0); };
  return {resized, {middle(resized.width), middle(resized.height), options.size, options.size}};
}

}  // namespace gradstab::lab::vision
