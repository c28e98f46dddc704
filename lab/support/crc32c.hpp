// CRC-32C (Castagnoli), the checksum of TFRecord files. zlib has CRC-32 only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gradstab::lab {

namespace detail {

/// Tables for eight bytes at once: [k][b] is what the byte b does k bytes before the end.
constexpr std::array<std::array<std::uint32_t, 256>, 8> crc32c_tables() {
  constexpr std::uint32_t kReflectedPolynomial = 0x82f63b78;
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kReflectedPolynomial : 0);
    tables[0][byte] = value;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
  return tables;
}
inline constexpr auto kCrc32cTables = crc32c_tables();

}  // namespace detail

/// Of `bytes`; or, going on from that of what stands before them, of both.
inline std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0) noexcept {
  const auto& tables = detail::kCrc32cTables;
  std::uint32_t value = ~before;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint32_t low = value ^ (std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 |
                                       std::uint32_t{at[2]} << 16 | std::uint32_t{at[3]} << 24);
    value = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
            tables[4][low >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
  }
  for (; left > 0; ++at, --left) value = value >> 8 ^ tables[0][(value ^ *at) & 0xff];
  return ~value;
}

}  // namespace gradstab::lab
