// Small hashes whose values are part of file names, splits and batch orders, so they may never change.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
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

/// A checksum of bytes that come in pieces, made for the speed of memory: fnv1a64 over gigabytes would be
/// noticed. Detects accidental damage, not tampering; a change within any eight bytes is always seen.
class BulkChecksum {
 public:
  void update(std::string_view bytes) {
    length_ += bytes.size();
    if (pending_size_ > 0) {
      const std::size_t taken = std::min(bytes.size(), kBlockBytes - pending_size_);
      std::memcpy(pending_.data() + pending_size_, bytes.data(), taken);
      pending_size_ += taken;
      bytes.remove_prefix(taken);
      if (pending_size_ < kBlockBytes) return;
      add_block(pending_.data());
      pending_size_ = 0;
    }
    for (; bytes.size() >= kBlockBytes; bytes.remove_prefix(kBlockBytes)) add_block(bytes.data());
    if (!bytes.empty()) std::memcpy(pending_.data(), bytes.data(), bytes.size());
    pending_size_ = bytes.size();
  }

  /// Of all bytes so far.
  std::uint64_t value() const {
    BulkChecksum whole = *this;
    std::fill(whole.pending_.begin() + static_cast<std::ptrdiff_t>(pending_size_), whole.pending_.end(),
              '\0');
    whole.add_block(whole.pending_.data());
    std::uint64_t sum = mix64(length_);
    for (const std::uint64_t lane : whole.lanes_) sum = mix64(sum ^ lane);
    return sum;
  }

 private:
  static constexpr std::size_t kLanes = 4;  // whose multiplications overlap
  static constexpr std::size_t kBlockBytes = kLanes * sizeof(std::uint64_t);

  void add_block(const char* bytes) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + i * sizeof word, sizeof word);
      // Both steps can be taken back, so that two different words never give the same lane.
      const std::uint64_t product = (lanes_[i] ^ word) * 0x9e3779b97f4a7c15u;
      lanes_[i] = product ^ product >> 32;
    }
  }

  std::array<std::uint64_t, kLanes> lanes_{1, 2, 3, 4};
  std::array<char, kBlockBytes> pending_{};
  std::size_t pending_size_ = 0;
  std::uint64_t length_ = 0;
};

}  // namespace gradstab::lab
