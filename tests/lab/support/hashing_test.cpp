#include "lab/support/hashing.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace gradstab::lab {
namespace {

std::string some_bytes(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += static_cast<char>(mix64(i));
  return bytes;
}

std::uint64_t checksum_of(std::string_view bytes, std::size_t piece) {
  BulkChecksum sum;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    sum.update(bytes.substr(0, piece));
  return sum.value();
}

TEST(BulkChecksumTest, IsTheSameHoweverTheBytesCome) {
  for (const std::size_t count : {0u, 1u, 31u, 32u, 33u, 1000u}) {
    const std::string bytes = some_bytes(count);
    const std::uint64_t whole = checksum_of(bytes, 1 << 20);
    for (const std::size_t piece : {1u, 7u, 32u, 33u, 64u})
      EXPECT_EQ(checksum_of(bytes, piece), whole) << piece;
  }
}

TEST(BulkChecksumTest, SeesEveryFlippedBit) {
  std::string bytes = some_bytes(203);
  std::set<std::uint64_t> sums = {checksum_of(bytes, bytes.size())};
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const char mask = static_cast<char>(1 << bit % 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    EXPECT_TRUE(sums.insert(checksum_of(bytes, bytes.size())).second) << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
  }
}

TEST(BulkChecksumTest, SeesZerosAtTheEndAndBytesThatChangePlaces) {
  EXPECT_NE(checksum_of("", 1), checksum_of(std::string(1, '\0'), 1));
  EXPECT_NE(checksum_of("ab", 2), checksum_of(std::string("ab\0", 3), 3));
  const std::string bytes = some_bytes(64);
  EXPECT_NE(checksum_of(bytes, 64), checksum_of(bytes.substr(32) + bytes.substr(0, 32), 64));
  EXPECT_NE(checksum_of(bytes, 64),
            checksum_of(bytes.substr(8, 8) + bytes.substr(0, 8) + bytes.substr(16), 64));
}

}  // namespace
}  // namespace gradstab::lab
