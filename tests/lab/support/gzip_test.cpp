#include "lab/support/gzip.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <string_view>

namespace gradstab::lab {
namespace {

using namespace std::string_view_literals;

// printf 'one\n' | gzip -9n
constexpr std::string_view kOne =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcf\x4b\xe5\x02\x00\x9f\xa8\x17\xf8\x04\x00\x00\x00"sv;
constexpr std::string_view kTwo =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\x29\xcf\xe7\x02\x00\x74\x08\x17\x96\x04\x00\x00\x00"sv;

constexpr std::uintmax_t kMost = 100;

TEST(GzipTest, ComesBack) {
  EXPECT_EQ(unpacked(std::string(kOne), kMost).value(), "one\n");
}

TEST(GzipTest, MembersFollowOneAnother) {
  EXPECT_EQ(unpacked(std::string(kOne) + std::string(kTwo), kMost).value(), "one\ntwo\n");
}

TEST(GzipTest, WhatIsNotPackedStaysAsItIs) {
  for (const std::string_view text : {""sv, "one\n"sv, "\x1f"sv, "{\"a\": 1}\n"sv})
    EXPECT_EQ(unpacked(std::string(text), kMost).value(), text);
}

TEST(GzipTest, WhatIsCutOffOrDamagedIsRefused) {
  for (std::size_t size = 2; size < kOne.size(); ++size)
    EXPECT_EQ(unpacked(std::string(kOne.substr(0, size)), kMost).status().code(), StatusCode::corrupt_data)
        << size;
  for (const std::size_t place : {10u, 12u, 17u, 20u}) {  // deflated bytes, checksum, length
    std::string damaged(kOne);
    damaged[place] = static_cast<char>(damaged[place] ^ 0x41);
    EXPECT_FALSE(unpacked(damaged, kMost)) << place;
  }
  EXPECT_FALSE(unpacked(std::string(kOne) + "trailing", kMost));
}

TEST(GzipTest, NoMoreIsUnpackedThanWanted) {
  EXPECT_EQ(unpacked(std::string(kOne) + std::string(kTwo), 8).value(), "one\ntwo\n");
  const Status refused = unpacked(std::string(kOne) + std::string(kTwo), 7).status();
  EXPECT_EQ(refused.code(), StatusCode::corrupt_data);
  EXPECT_EQ(refused.message(), "unpacks to more than 7 bytes, the limit for it");
}

TEST(GzipTest, AFileThatGrowsAThousandfoldIsRefusedBeforeItHas) {
  // One MiB of zeros as a member, as often as it takes for a gigabyte.
  std::string member;
  {
    const std::string zeros(1 << 20, '\0');
    member.resize(1 << 14);
    z_stream stream{};
    ASSERT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
    stream.avail_in = static_cast<uInt>(zeros.size());
    stream.next_out = reinterpret_cast<Bytef*>(member.data());
    stream.avail_out = static_cast<uInt>(member.size());
    ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    member.resize(member.size() - stream.avail_out);
    deflateEnd(&stream);
  }
  std::string bomb;
  for (int i = 0; i < 1024; ++i) bomb += member;
  EXPECT_EQ(unpacked(bomb, 4 << 20).status().message(), "unpacks to more than 4.0 MiB, the limit for it");
}

TEST(GzipTest, ManyMembersTakeTimeAccordingToTheirNumber) {
  // Once each member moved all that came after it: a minute for what takes a tenth of a second.
  constexpr int kMembers = 200000;
  std::string bytes;
  for (int i = 0; i < kMembers; ++i) bytes += kOne;
  const auto content = unpacked(bytes, 4 * kMembers);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(content->size(), 4u * kMembers);
}

}  // namespace
}  // namespace gradstab::lab
