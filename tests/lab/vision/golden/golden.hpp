// What Pillow and torchvision make of pictures, from golden.json (make_golden.py), and the pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/support/files.hpp"
#include "lab/support/hashing.hpp"
#include "lab/support/json.hpp"
#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// The cases of one kind.
inline const Json& golden(const std::string& kind) {
  static const Json all =
      parse_json_object(read_file(GRADSTAB_VISION_GOLDEN, kDescriptionFile).value(), "golden.json").value();
  return all.at(kind);
}

/// The picture of make_golden.py: noise over a slope, or with kind 1 noise alone.
inline Picture formula_picture(int width, int height, int channels, int kind = 0) {
  Picture picture;
  picture.reshape(width, height, channels);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) {
        const std::uint64_t noise = mix64(static_cast<std::uint64_t>((y * 4096 + x) * 4 + c) ^ 0x5eedU);
        const int slope = 20 + x * 97 / width + y * 61 / height + static_cast<int>(noise % 50);
        picture.row(y)[x * channels + c] =
            static_cast<std::uint8_t>(kind == 0 ? slope : static_cast<int>(noise % 256));
      }
  return picture;
}

/// The picture that a case begins with.
inline Picture source_of(const Json& one) {
  const Json& source = one.at("source");
  return formula_picture(source[0], source[1], source[2], source[3]);
}

inline std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

/// The picture that a case ends with, of so many channels.
inline Picture result_of(const Json& one, int channels) {
  Picture picture;
  picture.reshape(one.at("width"), one.at("height"), channels);
  const std::string bytes = bytes_of(one.at("hex"));
  picture.pixels.assign(bytes.begin(), bytes.end());
  return picture;
}

/// The largest difference of two values; 256 where the sizes differ.
inline int difference(const Picture& a, const Picture& b) {
  if (a.size() != b.size() || a.channels != b.channels || a.pixels.size() != b.pixels.size()) return 256;
  int most = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]));
  return most;
}

}  // namespace gradstab::lab::vision
