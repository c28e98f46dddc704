// Fewer points for drawing, without losing an extreme; and the light smoothing of the training loss.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace gradstab::lab {

/// The smallest `max_points` that `downsample` accepts.
inline constexpr std::size_t kFewestPoints = 8;

/// Indices of the values to draw, increasing, at most `max_points` of them (raised to kFewestPoints).
///
/// Up to `max_points` values are all kept. More are cut into equal buckets, and of each bucket the smallest
/// and the largest finite value stay, plus one non-finite value if there is any, so that a gap stays a gap.
/// The first and the last value stay too. A spike of a single step is therefore always drawn at its own step
/// with its own height, which averaging or taking every n-th value would lose.
std::vector<std::size_t> downsample(std::span<const double> values, std::size_t max_points);

/// The width of the centred window that `smooth` uses for a series of `count` values: about a hundredth of
/// it, odd, and between 5 and 201; 1 (no smoothing) for fewer than 20 values.
std::size_t smoothing_window(std::size_t count);

/// The centred mean over `window` values (odd), which unlike a running average does not lag behind.
/// Non-finite values are left out of the mean and stay non-finite in the result. At the start the window
/// shrinks on both sides, at the end on the far side only.
std::vector<double> smooth(std::span<const double> values, std::size_t window);

}  // namespace gradstab::lab
