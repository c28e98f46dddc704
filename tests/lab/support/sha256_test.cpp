#include "lab/support/sha256.hpp"

#include <gtest/gtest.h>

namespace gradstab::lab {
namespace {

std::string sha256_of(std::string_view bytes, std::size_t piece) {
  Sha256 sum;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    sum.update(bytes.substr(0, piece));
  return to_hex(sum.digest());
}

// The examples of FIPS 180-2, appendix B.
TEST(Sha256Test, GivesThePublishedDigests) {
  EXPECT_EQ(sha256_of("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1'000'000, 'a');
  for (const std::size_t piece : {std::size_t{1000}, std::size_t{999'999}, million.size()})
    EXPECT_EQ(sha256_of(million, piece), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace gradstab::lab
