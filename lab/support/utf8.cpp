#include "lab/support/utf8.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace gradstab::lab {
namespace {

// Windows-1252 for the bytes 0x80 to 0x9f; above that it equals Latin-1.
constexpr std::array<char16_t, 32> kWindows1252 = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};

constexpr bool in_range(unsigned char byte, unsigned char low, unsigned char high) {
  return byte >= low && byte <= high;
}

// Bytes of the valid multi-byte character at `text`, or 0. Table 3-7 of the Unicode standard.
std::size_t character_length(const unsigned char* text, std::size_t available) {
  const unsigned char lead = text[0];
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (in_range(lead, 0xc2, 0xdf)) {
    length = 2;
  } else if (in_range(lead, 0xe0, 0xef)) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (in_range(lead, 0xf0, 0xf4)) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  if (length == 0 || length > available || !in_range(text[1], low, high)) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (!in_range(text[i], 0x80, 0xbf)) return 0;
  }
  return length;
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view bytes) noexcept {
  constexpr std::uint64_t kHighBits = 0x8080808080808080u;
  const auto* text = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t position = 0;
  while (position < bytes.size()) {
    if (std::uint64_t word = 0; bytes.size() - position >= sizeof word) {
      std::memcpy(&word, text + position, sizeof word);
      if ((word & kHighBits) == 0) {
        position += sizeof word;
        continue;
      }
    }
    if (text[position] < 0x80) {
      ++position;
      continue;
    }
    const std::size_t length = character_length(text + position, bytes.size() - position);
    if (length == 0) return position;
    position += length;
  }
  return position;
}

void append_code_point(char32_t code_point, std::string& out) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0 | (code_point >> 6));
    out += static_cast<char>(0x80 | (code_point & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | (code_point >> 12));
    out += static_cast<char>(0x80 | ((code_point >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code_point & 0x3f));
  }
}

void append_valid_utf8(std::string_view bytes, std::string& out) {
  for (;;) {
    const std::size_t valid = valid_utf8_prefix(bytes);
    out.append(bytes.substr(0, valid));
    if (valid == bytes.size()) return;
    const auto byte = static_cast<unsigned char>(bytes[valid]);
    append_code_point(byte < 0xa0 ? kWindows1252[byte - 0x80u] : byte, out);
    bytes.remove_prefix(valid + 1);
  }
}

}  // namespace gradstab::lab
