#include "lab/support/base64.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace gradstab::lab {
namespace {

std::string encoded(std::string_view bytes) {
  return to_base64(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

std::string decoded(std::string_view text) {
  const auto bytes = from_base64(text);
  return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) : "refused";
}

// The vectors of RFC 4648, section 10.
TEST(Base64Test, IsThatOfTheStandard) {
  for (const auto& [bytes, text] : {std::pair("", ""),
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(encoded(bytes), text);
    EXPECT_EQ(decoded(text), bytes);
  }
  EXPECT_EQ(encoded(std::string_view("\xfb\xff\0", 3)), "+/8A");
}

TEST(Base64Test, LongBytesComeBack) {
  std::string bytes(100001, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 131 >> 3U);
  EXPECT_EQ(decoded(encoded(bytes)), bytes);
}

TEST(Base64Test, WhatIsNoBase64IsRefused) {
  for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9v\n", " Zm9v", "Zm9v    ", "Zm9_",
                           "Zm9-", "Zm\"v", "=Zg="})
    EXPECT_FALSE(from_base64(text).has_value()) << text;
  EXPECT_TRUE(from_base64("Zm9v").has_value()) << "the control";
}

}  // namespace
}  // namespace gradstab::lab
