#include "lab/vision/geometry.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

namespace gradstab::lab::vision {
namespace {

double to_radians(double degrees) {
  return degrees * std::numbers::pi / 180;
}

template <int kChannels>
void transform_pixels(const Picture& picture, const Affine& where, Picture& out) {
  const auto [width, height] = picture.size();
  for (int y = 0; y < height; ++y) {
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < width; ++x, to += kChannels) {
      const double from_x = where.a * (x + 0.5) + where.b * (y + 0.5) + where.c;
      const double from_y = where.d * (x + 0.5) + where.e * (y + 0.5) + where.f;
      if (!(from_x >= 0 && from_x < width && from_y >= 0 && from_y < height)) {
        std::fill_n(to, kChannels, std::uint8_t{0});
        continue;
      }
      // Points between the border and the centre of a first pixel are in front of it.
      const double right_of = from_x - 0.5, below_of = from_y - 0.5;
      const int column = static_cast<int>(right_of) - (right_of < 0 ? 1 : 0);
      const int row = static_cast<int>(below_of) - (below_of < 0 ? 1 : 0);
      const double right_share = right_of - column, bottom_share = below_of - row;
      const std::uint8_t* const upper = picture.row(std::max(row, 0));
      const std::uint8_t* const lower = picture.row(std::min(row + 1, height - 1));
      const int first = kChannels * std::max(column, 0), second = kChannels * std::min(column + 1, width - 1);
      for (int c = 0; c < kChannels; ++c) {
        const auto between = [&](const std::uint8_t* line) {
          return line[first + c] + (line[second + c] - line[first + c]) * right_share;
        };
        const double above = between(upper), below = between(lower);
        to[c] = static_cast<std::uint8_t>(above + (below - above) * bottom_share);
      }
    }
  }
}

}  // namespace

void flip(Picture& picture) noexcept {
  for (int y = 0; y < picture.height; ++y) {
    std::uint8_t* const row = picture.row(y);
    const int channels = picture.channels;
    for (int left = 0, right = picture.width - 1; left < right; ++left, --right)
      std::swap_ranges(row + left * channels, row + (left + 1) * channels, row + right * channels);
  }
}

void cut(const Picture& picture, int left, int top, Size size, Picture& out) {
  out.reshape(size.width, size.height, picture.channels);
  const int first = std::max(-left, 0), end = std::min(size.width, picture.width - left);
  const auto channels = static_cast<std::size_t>(picture.channels);
  for (int y = 0; y < size.height; ++y) {
    std::uint8_t* const row = out.row(y);
    std::memset(row, 0, out.row_bytes());
    const int from = top + y;
    if (from >= 0 && from < picture.height && first < end)
      std::memcpy(row + channels * static_cast<std::size_t>(first),
                  picture.row(from) + channels * static_cast<std::size_t>(left + first),
                  channels * static_cast<std::size_t>(end - first));
  }
}

Affine shear_x(double magnitude) noexcept {
  return {.b = magnitude};
}
Affine shear_y(double magnitude) noexcept {
  return {.d = magnitude};
}
Affine shift(double right, double down) noexcept {
  return {.c = -right, .f = -down};
}

Affine rotation(double degrees, Size size) noexcept {
  // Rounded, so that a quarter of a turn moves pixels to pixels.
  const auto rounded = [](double value) { return std::nearbyint(value * 1e15) / 1e15; };
  const double cosine = rounded(std::cos(to_radians(degrees)));
  const double sine = rounded(std::sin(to_radians(degrees)));
  const double x = size.width / 2.0, y = size.height / 2.0;
  return {cosine, -sine, (cosine * -x + sine * y) + x, sine, cosine, (sine * -x + cosine * -y) + y};
}

void transform(const Picture& picture, const Affine& where, Picture& out) {
  out.reshape(picture.width, picture.height, picture.channels);
  if (picture.channels == 1)
    transform_pixels<1>(picture, where, out);
  else
    transform_pixels<3>(picture, where, out);
}

}  // namespace gradstab::lab::vision
