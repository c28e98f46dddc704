#include "lab/vision/encode_png.hpp"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>

#include "gradstab/status.hpp"

namespace gradstab::lab::vision {

std::vector<std::byte> encode_png(const Picture& picture) {
  if (picture.width < 1 || picture.height < 1 || (picture.channels != 1 && picture.channels != 3))
    throw Error(
        Status(StatusCode::invalid_argument, fmt::format("no PNG is made of {} x {} pixels with {} channels",
                                                         picture.width, picture.height, picture.channels)));
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = picture.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  const auto write = [&](void* memory, png_alloc_size_t& size) {
    return png_image_write_to_memory(&image, memory, &size, 0, picture.pixels.data(), 0, nullptr) != 0;
  };
  png_alloc_size_t size = 0;
  std::vector<std::byte> file;
  bool written = write(nullptr, size);
  if (written) {
    file.resize(size);
    written = write(file.data(), size);
    file.resize(size);
  }
  if (!written) throw Error(Status(StatusCode::unsupported, fmt::format("libpng: {}", image.message)));
  return file;
}

Picture shrunk(const Picture& picture, int longest) {
  const int factor = (std::max(picture.width, picture.height) + longest - 1) / longest;
  if (factor <= 1) return picture;
  Picture small;
  // Of what is left over at the right and below, nothing is shown; a side shorter than the factor is one
  // pixel.
  small.reshape(std::max(1, picture.width / factor), std::max(1, picture.height / factor), picture.channels);
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) {
      for (int channel = 0; channel < picture.channels; ++channel) {
        int sum = 0;
        int count = 0;
        for (int v = y * factor; v < std::min((y + 1) * factor, picture.height); ++v) {
          for (int u = x * factor; u < std::min((x + 1) * factor, picture.width); ++u, ++count)
            sum += picture.row(v)[u * picture.channels + channel];
        }
        small.row(y)[x * picture.channels + channel] = static_cast<std::uint8_t>((sum + count / 2) / count);
      }
    }
  }
  return small;
}

}  // namespace gradstab::lab::vision
