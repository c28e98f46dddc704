#include "lab/vision/read_picture.hpp"

#include <fmt/format.h>

#include "lab/vision/picture_formats.hpp"

namespace gradstab::lab::vision {

Status check_pixels(std::int64_t width, std::int64_t height, std::int64_t most_pixels) {
  if (width * height <= most_pixels) return {};
  return {StatusCode::unsupported,
          fmt::format("has {} x {} pixels, the limit is {} in all", width, height, most_pixels)};
}

Status read_picture(std::string_view bytes, const RegionChooser& choose, ReadBuffers& buffers,
                    Picture& picture, std::int64_t most_pixels) {
  if (is_jpeg(bytes)) return read_jpeg(bytes, choose, buffers, picture, most_pixels);
  if (is_png(bytes)) return read_png(bytes, choose, buffers, picture, most_pixels);
  return {StatusCode::corrupt_data, bytes.empty() ? "is empty" : "is neither a JPEG nor a PNG picture"};
}

}  // namespace gradstab::lab::vision
