// Small data for an image classifier, which it can learn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "program.hpp"

namespace gradstab::testing_cli {

inline constexpr int kSide = 28;
inline constexpr int kClasses = 4;

/// Something irregular, of 32 bits.
inline std::uint32_t noise(std::uint32_t n) {
  n = (n ^ 61U) ^ (n >> 16U);
  n *= 9U;
  n = (n ^ (n >> 4U)) * 0x27d4eb2dU;
  return n ^ (n >> 15U);
}

/// Picture `index`: dim noise with one bright quarter, which its class says.
inline std::string picture_bytes(int index, int side) {
  std::string bytes;
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const bool bright = (y >= side / 2) * 2 + (x >= side / 2) == index % kClasses;
      bytes += static_cast<char>((bright ? 90 : 0) +
                                 noise(static_cast<std::uint32_t>(index * 10000 + y * 100 + x)) % 100);
    }
  return bytes;
}

inline std::string number(std::uint32_t value) {
  std::string bytes;
  for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(value >> shift);
  return bytes;
}

/// IDX files of pictures `first` to `first` + `count` of four classes in turn: "train" or "t10k".
inline void write_idx(const std::filesystem::path& folder, const std::string& part, int first, int count) {
  std::string pictures =
      number(0x803) + number(static_cast<std::uint32_t>(count)) + number(kSide) + number(kSide);
  std::string labels = number(0x801) + number(static_cast<std::uint32_t>(count));
  for (int i = first; i < first + count; ++i) {
    pictures += picture_bytes(i, kSide);
    labels += static_cast<char>(i % kClasses);
  }
  write(folder / (part + "-images-idx3-ubyte"), pictures);
  write(folder / (part + "-labels-idx1-ubyte"), labels);
}

}  // namespace gradstab::testing_cli
