// Sources of pictures made by the tests.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "golden/golden.hpp"
#include "lab/vision/packed_pictures.hpp"
#include "lab/vision/picture_source.hpp"
#include "picture_files.hpp"

namespace gradstab::lab::vision {

inline std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

/// An IDX file of pictures, whose pixels are a formula of the picture's number.
inline std::string idx_pictures(int count, int width, int height) {
  std::string bytes = big_endian(0x803) + big_endian(static_cast<std::uint32_t>(count)) +
                      big_endian(static_cast<std::uint32_t>(height)) +
                      big_endian(static_cast<std::uint32_t>(width));
  for (int i = 0; i < count; ++i)
    for (int k = 0; k < width * height; ++k)
      bytes +=
          static_cast<char>(mix64(static_cast<std::uint64_t>(i) * 100000 + static_cast<std::uint64_t>(k)));
  return bytes;
}

inline std::string idx_labels(const std::vector<int>& labels) {
  std::string bytes = big_endian(0x801) + big_endian(static_cast<std::uint32_t>(labels.size()));
  for (const int label : labels) bytes += static_cast<char>(label);
  return bytes;
}

/// 0, 1, ..., classes - 1, 0, 1, ...
inline std::vector<int> labels_in_turn(int count, int classes) {
  std::vector<int> labels;
  for (int i = 0; i < count; ++i) labels.push_back(i % classes);
  return labels;
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string gzipped(const std::string& bytes) {
  z_stream stream{};
  constexpr int kGzip = 16;
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzip, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// The four IDX files, of as many training and test pictures, in three classes.
inline void write_idx_folder(const std::filesystem::path& folder, int training, int test, int width = 6,
                             int height = 6) {
  write_file(folder / "train-images-idx3-ubyte", idx_pictures(training, width, height));
  write_file(folder / "train-labels-idx1-ubyte", idx_labels(labels_in_turn(training, 3)));
  write_file(folder / "t10k-images-idx3-ubyte", idx_pictures(test, width, height));
  write_file(folder / "t10k-labels-idx1-ubyte", idx_labels(labels_in_turn(test, 3)));
}

/// Pictures in memory, in three classes, each one full of noise of its own.
inline std::shared_ptr<const PictureSource> packed_source(int training, int test, int validation,
                                                          int side = 8, int channels = 3) {
  const auto set = [&](int count, const char* name, std::uint64_t salt) {
    PackedPictures pictures{
        .name = name, .size = {side, side}, .channels = channels, .pixels = {}, .labels = {}};
    for (int i = 0; i < count; ++i) {
      pictures.labels.push_back(static_cast<std::uint8_t>(i % 3));
      for (int k = 0; k < side * side * channels; ++k)
        pictures.pixels.push_back(static_cast<std::uint8_t>(
            mix64(salt + static_cast<std::uint64_t>(i) * 100000 + static_cast<std::uint64_t>(k))));
    }
    return pictures;
  };
  SourceInfo info;
  info.name = "idx";
  info.path = "memory";
  info.classes = {"a", "b", "c"};
  return make_packed_source(info, set(training, "training", 0), set(test, "test", std::uint64_t{1} << 40),
                            validation)
      .value();
}

/// A folder of JPEGs and PNGs: train/ of so many for each of the classes ant, bee and cat, val/ of half as
/// many.
inline void write_picture_folder(const std::filesystem::path& folder, int each, int width = 40,
                                 int height = 30) {
  for (const char* part : {"train", "val"})
    for (const char* name : {"ant", "bee", "cat"})
      for (int i = 0; i < (std::string(part) == "train" ? each : (each + 1) / 2); ++i) {
        const Picture picture = formula_picture(width + i, height, 3);
        write_file(folder / part / name / (std::to_string(i) + (i % 2 == 0 ? ".jpg" : ".PNG")),
                   i % 2 == 0 ? jpeg_of(picture) : png_of(picture));
      }
}

inline std::string refusal(const std::filesystem::path& folder, StatusCode code,
                           std::int64_t validation = 0) {
  const auto source = open_source({folder.string(), validation});
  if (source) return "accepted";
  EXPECT_EQ(source.status().code(), code) << source.status().message();
  return source.status().message();
}

}  // namespace gradstab::lab::vision
