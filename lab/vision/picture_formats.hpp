// The formats of picture files; read_picture.hpp has their rules, and chooses.
#pragma once

#include <cstdint>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

bool is_jpeg(std::string_view bytes) noexcept;
bool is_png(std::string_view bytes) noexcept;

/// Of what is_jpeg or is_png; otherwise as read_picture.
Status read_jpeg(std::string_view bytes, const RegionChooser& choose, ReadBuffers& buffers, Picture& picture,
                 std::int64_t most_pixels);
Status read_png(std::string_view bytes, const RegionChooser& choose, ReadBuffers& buffers, Picture& picture,
                std::int64_t most_pixels);

/// Errors: unsupported, with the size, for more pixels than that.
Status check_pixels(std::int64_t width, std::int64_t height, std::int64_t most_pixels);

}  // namespace gradstab::lab::vision
