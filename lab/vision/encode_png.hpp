// Pictures as PNG files.
#pragma once

#include <cstddef>
#include <vector>

#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// The file, 8 bits a channel, without loss. Throws gradstab::Error for an empty picture or one of other than
/// 1 or 3 channels.
std::vector<std::byte> encode_png(const Picture& picture);

/// The picture with sides of at most `longest` pixels: each pixel is the mean of a square of the original's.
Picture shrunk(const Picture& picture, int longest);

}  // namespace gradstab::lab::vision
