// JPEG and PNG files made by the tests.
#pragma once

#include <cstdio>  // jpeglib.h needs FILE
//
#include <jpeglib.h>
#include <png.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// How a JPEG is written. Chroma is sampled once for so many pixels across and down.
struct JpegKind {
  int across = 2, down = 2;
  bool progressive = false;
  int quality = 95;
};

/// A picture of one or three channels as a JPEG.
inline std::string jpeg_of(const Picture& picture, const JpegKind& kind = {}) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &bytes, &size);
  codec.image_width = static_cast<JDIMENSION>(picture.width);
  codec.image_height = static_cast<JDIMENSION>(picture.height);
  codec.input_components = picture.channels;
  codec.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, kind.quality, TRUE);
  codec.comp_info[0].h_samp_factor = picture.channels == 1 ? 1 : kind.across;
  codec.comp_info[0].v_samp_factor = picture.channels == 1 ? 1 : kind.down;
  if (kind.progressive) jpeg_simple_progression(&codec);
  jpeg_start_compress(&codec, TRUE);
  for (int y = 0; y < picture.height; ++y) {
    JSAMPROW row = const_cast<std::uint8_t*>(picture.row(y));
    jpeg_write_scanlines(&codec, &row, 1);
  }
  jpeg_finish_compress(&codec);
  std::string file(reinterpret_cast<const char*>(bytes), size);
  jpeg_destroy_compress(&codec);
  std::free(bytes);
  return file;
}

/// The same as a PNG.
inline std::string png_of(const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = picture.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(size, '\0');
  if (png_image_write_to_memory(&image, file.data(), &size, 0, picture.pixels.data(), 0, nullptr) == 0)
    throw std::runtime_error(image.message);
  file.resize(size);
  return file;
}

}  // namespace gradstab::lab::vision
