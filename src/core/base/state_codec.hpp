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
  /// Numbers that have a name: `count` of them side by side.
  struct Named {
    enum class Kind : std::uint8_t { float64, int64, int32 };
    std::string_view name;  ///< of a constant
    Kind kind;
    std::size_t offset;
    std::size_t count;
  };

  template <class T>
  requires std::is_arithmetic_v<T>
  void put(T value) { put(std::as_bytes(std::span(&value, 1))); }
  void put(std::string_view text);
  void put(std::span<const std::byte> bytes);
  /// A number that a method remembers, or several, under a name that is a constant.
  template <class T>
  requires std::is_arithmetic_v<T>
  void put(std::string_view name, T value) { put(name, std::span<const T>(&value, 1)); }
  template <class T>
  void put(std::string_view name, std::span<const T> values) {
    named_.push_back({name, kind_of(T{}), bytes_.size(), values.size()});
    put(std::as_bytes(values));
  }

  const std::vector<std::byte>& bytes() const noexcept { return bytes_; }
  std::vector<std::byte> take() && noexcept { return std::move(bytes_); }
  /// Where the numbers with names lie.
  const std::vector<Named>& named() const noexcept { return named_; }
  /// Of one of them.
  double number(const Named& named, std::size_t index) const noexcept;
  /// False if the number is none of that kind; nothing is then written.
  bool set_number(const Named& named, std::size_t index, double value) noexcept;

 private:
  static constexpr Named::Kind kind_of(double) noexcept { return Named::Kind::float64; }
  static constexpr Named::Kind kind_of(std::int64_t) noexcept { return Named::Kind::int64; }
  static constexpr Named::Kind kind_of(std::int32_t) noexcept { return Named::Kind::int32; }

  std::vector<std::byte> bytes_;
  std::vector<Named> named_;
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

/// What an optimizer's payload begins with.
inline constexpr std::string_view kOptimizerMarker = "optimizer";

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
