// Random erasing (Zhong et al. 2020).
#pragma once

#include <optional>

#include "lab/vision/draws.hpp"
#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// The rectangle that is erased of a picture of this size: 2 % to 33 % of its area, a height over width of
/// 0.3 to 3.3, smaller than the picture in both directions; nothing where ten draws do not fit.
std::optional<Rectangle> draw_erasure(Draws& draws, Size size) noexcept;

/// Sets the rectangle to 0 in pixels [channels, height, width].
void erase(const Rectangle& rectangle, int channels, Size size, float* pixels) noexcept;

}  // namespace gradstab::lab::vision
