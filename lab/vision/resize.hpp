// Bilinear resize with antialiasing, whose numbers are those of Pillow.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// The pixels [first, first + count) of a line, and their weights in units of 2^-22.
struct LineWeights {
  std::vector<int> first, count;      ///< for each new pixel
  std::vector<std::int32_t> weights;  ///< `most` for each new pixel
  int most = 0;
};

/// Memory that resizing uses again and again.
struct ResizeBuffers {
  LineWeights columns, rows;
  Picture narrow;
};

/// The pixels of a picture of size `source` that the part `window` is made from, of what becomes of it at
/// size `target`.
Rectangle resize_support(Size source, Size target, const Rectangle& window) noexcept;

/// Resizes a picture of size `source` to `target`, of which only the part `window` is made and put into
/// `out`. `pixels` are the region `region` of the picture, which covers resize_support. The picture is as
/// large as the window.
///
/// Each new pixel is a mean of the old ones, weighted by a triangle that is as wide as the larger of an old
/// and a new pixel on each side of its centre; first along rows, then along columns, each rounded to 8 bits.
/// Weights are rounded to 2^-22. Pillow 13 goes along columns first where that is less work, which moves
/// values by 1 at most; earlier versions never do.
void resize(const Picture& pixels, const Rectangle& region, Size source, Size target, const Rectangle& window,
            ResizeBuffers& buffers, Picture& out);

}  // namespace gradstab::lab::vision
