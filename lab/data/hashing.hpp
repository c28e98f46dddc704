// Small hashes whose values are part of file names, splits and batch orders, so they may never change.
#pragma once

#include <cstdint>
#include <string_view>

namespace gradstab::lab {

/// The SplitMix64 output function: a bijection of 64-bit integers that scatters neighbouring inputs.
constexpr std::uint64_t mix64(std::uint64_t value) noexcept {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

/// FNV-1a over bytes: detects accidental damage, not tampering.
constexpr std::uint64_t fnv1a64(std::string_view bytes) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  return hash;
}

}  // namespace gradstab::lab
