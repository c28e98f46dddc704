// Bytes of a saved state: little-endian fields, a checksum around them, and settings that must agree.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab {

static_assert(std::endian::native == std::endian::little, "the state format is written by plain copies");

class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  void put(T value) { put(std::as_bytes(std::span(&value, 1))); }
  void put(std::string_view text);
  void put(std::span<const std::byte> bytes);

  const std::vector<std::byte>& bytes() const noexcept { return bytes_; }
  std::vector<std::byte> take() && noexcept { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what ByteWriter wrote. Running past the end sets `ok()` to false and yields zeros, so that a reader
/// can check once at the end of a record.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  requires std::is_arithmetic_v<T> T get() {
    T value{};
    if (take(sizeof value)) std::memcpy(&value, bytes_.data() + position_ - sizeof value, sizeof value);
    return value;
  }
  std::string get_string();
  std::span<const std::byte> get_bytes(std::size_t count);

  bool ok() const noexcept { return ok_; }
  std::size_t remaining() const noexcept { return bytes_.size() - position_; }

 private:
  bool take(std::size_t count);

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

/// Named numbers and texts in a fixed order.
class SettingsWriter {
 public:
  using Value = std::variant<double, std::string>;
  struct Entry {
    std::string key;
    Value value;
  };

  void put(std::string_view key, double value) { entries_.push_back({std::string(key), value}); }
  void put(std::string_view key, std::string_view text) {
    entries_.push_back({std::string(key), std::string(text)});
  }

  const std::vector<Entry>& entries() const noexcept { return entries_; }

 private:
  std::vector<Entry> entries_;
};

/// Writes the entries: their number, then of each its key, a byte (0: a number, 1: a text) and the value.
void save_settings(ByteWriter& writer, const SettingsWriter& settings);

/// Reads them and compares with what they are here. Errors name the method, the first setting that differs
/// and both its values.
Status check_settings(ByteReader& reader, const SettingsWriter& here, std::string_view method);

/// Whether a saved number can be a count of steps: no run counts to 2^62, and adding to less cannot overflow.
constexpr bool is_count(std::int64_t value) noexcept {
  return value >= 0 && value < std::int64_t{1} << 62;
}

/// CRC-32 (IEEE 802.3, reflected), as in zlib.
std::uint32_t crc32(std::span<const std::byte> bytes) noexcept;

/// Puts magic, version, length and checksum around a payload, and takes them off again. Errors of `unwrap`
/// say what is wrong: not such a file, another version, truncated, damaged.
std::vector<std::byte> wrap_state(std::span<const std::byte> payload);
Result<std::span<const std::byte>> unwrap_state(std::span<const std::byte> bytes);

}  // namespace gradstab
