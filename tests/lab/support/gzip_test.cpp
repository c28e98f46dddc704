#include "lab/support/gzip.hpp"

#include <gtest/gtest.h>

#include <string_view>

namespace gradstab::lab {
namespace {

using namespace std::string_view_literals;

// printf 'one\n' | gzip -9n
constexpr std::string_view kOne =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcf\x4b\xe5\x02\x00\x9f\xa8\x17\xf8\x04\x00\x00\x00"sv;
constexpr std::string_view kTwo =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\x29\xcf\xe7\x02\x00\x74\x08\x17\x96\x04\x00\x00\x00"sv;

TEST(GzipTest, ComesBack) {
  EXPECT_EQ(unpacked(std::string(kOne)).value(), "one\n");
}

TEST(GzipTest, MembersFollowOneAnother) {
  EXPECT_EQ(unpacked(std::string(kOne) + std::string(kTwo)).value(), "one\ntwo\n");
}

TEST(GzipTest, WhatIsNotPackedStaysAsItIs) {
  for (const std::string_view text : {""sv, "one\n"sv, "\x1f"sv, "{\"a\": 1}\n"sv})
    EXPECT_EQ(unpacked(std::string(text)).value(), text);
}

TEST(GzipTest, WhatIsCutOffOrDamagedIsRefused) {
  for (std::size_t size = 2; size < kOne.size(); ++size)
    EXPECT_EQ(unpacked(std::string(kOne.substr(0, size))).status().code(), StatusCode::corrupt_data) << size;
  for (const std::size_t place : {10u, 12u, 17u, 20u}) {  // deflated bytes, checksum, length
    std::string damaged(kOne);
    damaged[place] = static_cast<char>(damaged[place] ^ 0x41);
    EXPECT_FALSE(unpacked(damaged)) << place;
  }
  EXPECT_FALSE(unpacked(std::string(kOne) + "trailing"));
}

}  // namespace
}  // namespace gradstab::lab
