#include "lab/vision/erase.hpp"

#include <algorithm>
#include <cmath>

namespace gradstab::lab::vision {
namespace {

constexpr int kTries = 10;
constexpr double kLeastShare = 0.02, kMostShare = 0.33;
constexpr double kLeastRatio = 0.3, kMostRatio = 3.3;

}  // namespace

std::optional<Rectangle> draw_erasure(Draws& draws, Size size) noexcept {
  const double area = static_cast<double>(size.width) * size.height;
  for (int i = 0; i < kTries; ++i) {
    const double part = area * draws.uniform(kLeastShare, kMostShare);
    const double ratio = std::exp(draws.uniform(std::log(kLeastRatio), std::log(kMostRatio)));
    const int height = static_cast<int>(std::nearbyint(std::sqrt(part * ratio)));
    const int width = static_cast<int>(std::nearbyint(std::sqrt(part / ratio)));
    if (width < 1 || width >= size.width || height < 1 || height >= size.height) continue;
    const int top = draws.below(size.height - height + 1);
    return Rectangle{draws.below(size.width - width + 1), top, width, height};
  }
  return std::nullopt;
}

void erase(const Rectangle& rectangle, int channels, Size size, float* pixels) noexcept {
  for (int c = 0; c < channels; ++c)
    for (int y = rectangle.top; y < rectangle.top + rectangle.height; ++y)
      std::fill_n(pixels + (static_cast<std::ptrdiff_t>(c) * size.height + y) * size.width + rectangle.left,
                  rectangle.width, 0.0F);
}

}  // namespace gradstab::lab::vision
