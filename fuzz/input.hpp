// Input: the fuzzer's bytes, read as small choices. Behind the end everything is zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

namespace gradstab::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}

  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value;
  }
  bool flag() { return (byte() & 1) != 0; }
  /// One of [0, count), count at most 256.
  std::size_t below(std::size_t count) { return byte() % count; }
  template <class T>
  T pick(std::span<const T> list) {
    return list[below(list.size())];
  }
  template <class T, std::size_t kCount>
  T pick(const T (&list)[kCount]) {
    return list[below(kCount)];
  }
  std::uint32_t word() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }
  /// In [0, 1).
  double fraction() { return static_cast<double>(word()) * 0x1p-32; }

  std::span<const std::byte> rest() const { return std::as_bytes(bytes_); }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// Ends the program with a line, which is what the fuzzer takes for a finding.
#define GRADSTAB_FUZZ_CHECK(condition, ...)                                \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                   \
      std::fputc('\n', stderr);                                            \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

}  // namespace gradstab::fuzz
