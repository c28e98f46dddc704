// Numbers and blocks out of bytes that may end anywhere.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace gradstab::lab {

/// Goes through little-endian bytes from the front. What is not all there is 0 or empty, and from then on so
/// is everything.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const noexcept { return ok_; }
  std::size_t left() const noexcept { return bytes_.size(); }
  std::string_view rest() const noexcept { return bytes_; }

  /// A number of a type that may hold any bytes.
  template <class T>
  T number() {
    T value{};
    const std::string_view taken = take(sizeof value);
    if (ok_) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }

  /// So many bytes.
  std::string_view take(std::uint64_t count) {
    if (!ok_ || count > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

  /// A u64 length and as many bytes.
  std::string_view block() { return take(number<std::uint64_t>()); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace gradstab::lab
