#include "lab/support/utf8.hpp"

#include <gtest/gtest.h>

namespace gradstab::lab {
namespace {

std::string repaired(std::string_view bytes) {
  std::string out;
  append_valid_utf8(bytes, out);
  return out;
}

TEST(Utf8Test, ValidTextIsUnchanged) {
  const std::string text = "plain, caf\u00e9, \u4f60\u597d, \U0001f600, more than eight ASCII bytes";
  EXPECT_EQ(valid_utf8_prefix(text), text.size());
  EXPECT_EQ(repaired(text), text);
}

TEST(Utf8Test, StrayBytesAreReadAsWindows1252) {
  EXPECT_EQ(repaired("fa\xe7"
                     "ade"),
            "fa\u00e7ade");
  EXPECT_EQ(repaired("it\x92s"), "it\u2019s");
  EXPECT_EQ(repaired("\x80\x81\x9f"), "\u20ac\u0081\u0178");
}

TEST(Utf8Test, MalformedSequencesAreInvalidAtTheirFirstByte) {
  for (const std::string_view bytes : {
           "ab\xc0\xaf",          // overlong
           "ab\xe0\x80\xaf",      // overlong
           "ab\xed\xa0\x80",      // surrogate
           "ab\xf4\x90\x80\x80",  // above U+10FFFF
           "ab\xe2\x82",          // cut short
           "ab\x80",              // continuation without a lead
           "ab\xff",
       }) {
    EXPECT_EQ(valid_utf8_prefix(bytes), 2u) << bytes;
    const std::string fixed = repaired(bytes);
    EXPECT_EQ(valid_utf8_prefix(fixed), fixed.size());
  }
}

TEST(Utf8Test, InvalidByteIsFoundAtEveryOffset) {
  for (std::size_t offset = 0; offset < 20; ++offset) {
    std::string text(20, 'a');
    text[offset] = '\xff';
    EXPECT_EQ(valid_utf8_prefix(text), offset);
  }
}

}  // namespace
}  // namespace gradstab::lab
