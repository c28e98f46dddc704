#include "lab/support/base64.hpp"

#include <openssl/evp.h>

#include <algorithm>

namespace gradstab::lab {
namespace {

// A multiple of 4, so that blocks follow each other without padding; far below what an int can count.
constexpr std::size_t kCharacters = std::size_t{1} << 24;
constexpr std::size_t kBytes = kCharacters / 4 * 3;

bool is_digit(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text;
  for (std::size_t begin = 0; begin < bytes.size(); begin += kBytes) {
    const auto block = bytes.subspan(begin, std::min(kBytes, bytes.size() - begin));
    const std::size_t before = text.size();
    const std::size_t length = (block.size() + 2) / 3 * 4;
    text.resize(before + length + 1);  // OpenSSL ends it with a zero
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data() + before),
                    reinterpret_cast<const unsigned char*>(block.data()), static_cast<int>(block.size()));
    text.resize(before + length);
  }
  return text;
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return {};
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  // OpenSSL would skip white space around a block.
  if (!std::ranges::all_of(text.substr(0, text.size() - padding), is_digit)) return {};
  std::vector<std::byte> bytes(text.size() / 4 * 3);
  for (std::size_t begin = 0; begin < text.size(); begin += kCharacters) {
    const std::string_view block = text.substr(begin, kCharacters);
    if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data() + begin / 4 * 3),
                        reinterpret_cast<const unsigned char*>(block.data()),
                        static_cast<int>(block.size())) < 0)
      return {};
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace gradstab::lab
