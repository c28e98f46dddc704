// A read-only sequence of token ids stored in 16 or 32 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gradstab::lab {

/// Does not own its tokens. Cheap to copy.
class TokenView {
 public:
  TokenView() = default;
  explicit TokenView(std::span<const std::uint16_t> tokens) : narrow_(tokens.data()), size_(tokens.size()) {}
  explicit TokenView(std::span<const std::uint32_t> tokens) : wide_(tokens.data()), size_(tokens.size()) {}

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// The id at `index`, which must be below size().
  std::uint32_t operator[](std::size_t index) const noexcept {
    return narrow_ != nullptr ? narrow_[index] : wide_[index];
  }

  /// Copies out.size() ids from `begin` on; begin + out.size() must not exceed size().
  void copy_to(std::size_t begin, std::span<std::int64_t> out) const noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = (*this)[begin + i];
  }

 private:
  const std::uint16_t* narrow_ = nullptr;
  const std::uint32_t* wide_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace gradstab::lab
