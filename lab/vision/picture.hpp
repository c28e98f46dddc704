// A decoded picture, and rectangles of pixels in one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gradstab::lab::vision {

/// Width and height in pixels.
struct Size {
  int width = 0, height = 0;
  bool operator==(const Size&) const = default;
};

/// Pixels [left, left + width) x [top, top + height), counted from the top left corner.
struct Rectangle {
  int left = 0, top = 0, width = 0, height = 0;
  bool operator==(const Rectangle&) const = default;
};

/// All of a picture.
constexpr Rectangle whole(Size size) noexcept {
  return {0, 0, size.width, size.height};
}

/// Rows from the top, in a row pixels from the left, in a pixel its channels: one (grey) or three (red,
/// green, blue), 8 bits each.
struct Picture {
  int width = 0, height = 0, channels = 0;
  std::vector<std::uint8_t> pixels;  ///< height * width * channels

  Size size() const noexcept { return {width, height}; }
  std::size_t row_bytes() const noexcept {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  }
  std::uint8_t* row(int y) noexcept { return pixels.data() + static_cast<std::size_t>(y) * row_bytes(); }
  const std::uint8_t* row(int y) const noexcept {
    return pixels.data() + static_cast<std::size_t>(y) * row_bytes();
  }

  /// Makes it this large. What the pixels are afterwards is not said; memory is kept for reuse.
  void reshape(int new_width, int new_height, int new_channels) {
    width = new_width;
    height = new_height;
    channels = new_channels;
    pixels.resize(row_bytes() * static_cast<std::size_t>(height));
  }
};

}  // namespace gradstab::lab::vision
