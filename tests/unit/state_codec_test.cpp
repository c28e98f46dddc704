#include "core/base/state_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

namespace gradstab {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(StateCodecTest, ReadsBackWhatItWrote) {
  ByteWriter writer;
  writer.put(std::int64_t{-5});
  writer.put(0.1);
  writer.put(std::string_view("layers.0.weight"));
  writer.put(std::string_view(""));
  writer.put(std::uint32_t{7});
  writer.put(-std::numeric_limits<double>::infinity());
  ByteReader reader(writer.bytes());
  EXPECT_EQ(reader.get<std::int64_t>(), -5);
  EXPECT_EQ(reader.get<double>(), 0.1);
  EXPECT_EQ(reader.get_string(), "layers.0.weight");
  EXPECT_EQ(reader.get_string(), "");
  EXPECT_EQ(reader.get<std::uint32_t>(), 7u);
  EXPECT_EQ(reader.get<double>(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(StateCodecTest, ReadingPastTheEndYieldsZerosAndStaysAnError) {
  ByteWriter writer;
  writer.put(std::uint32_t{1});
  ByteReader reader(writer.bytes());
  EXPECT_EQ(reader.get<std::uint64_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.get<std::uint32_t>(), 0u) << "although four bytes are there";
  EXPECT_EQ(reader.get_string(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(StateCodecTest, AStringLengthBeyondTheEndIsNotBelieved) {
  ByteWriter writer;
  writer.put(std::uint32_t{0xFFFFFFFF});
  ByteReader reader(writer.bytes());
  EXPECT_EQ(reader.get_string(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(StateCodecTest, ChecksumIsThatOfZlib) {
  EXPECT_EQ(crc32({}), 0u);
  EXPECT_EQ(crc32(bytes_of("123456789")), 0xCBF43926u);  // the check value of the CRC catalogue
}

TEST(StateCodecTest, UnwrapTakesOffWhatWrapPutOn) {
  const std::string text = "payload";
  const auto wrapped = wrap_state(bytes_of(text));
  EXPECT_EQ(wrapped.size(), text.size() + 24);
  const auto payload = unwrap_state(wrapped);
  ASSERT_TRUE(payload.ok());
  EXPECT_TRUE(std::equal(payload->begin(), payload->end(), bytes_of(text).begin(), bytes_of(text).end()));
  EXPECT_TRUE(unwrap_state(wrap_state({})).ok());
}

TEST(StateCodecTest, EveryKindOfDamageHasItsOwnMessage) {
  const std::string text = "payload";
  const auto whole = wrap_state(bytes_of(text));
  const auto error = [](const std::vector<std::byte>& bytes) { return unwrap_state(bytes).status(); };

  EXPECT_EQ(error({}).message(), "not a gradstab state: it does not begin with 'GRADSTAB'");
  const std::string zip = "PK\x03\x04 something else entirely";
  EXPECT_EQ(unwrap_state(bytes_of(zip)).status().code(), StatusCode::corrupt_data);

  EXPECT_EQ(error({whole.begin(), whole.begin() + 12}).message(),
            "state is truncated: 12 bytes, the header alone has 24");
  EXPECT_EQ(error({whole.begin(), whole.end() - 1}).message(),
            "state is truncated or padded: 6 bytes follow the header, expected 7");
  auto padded = whole;
  padded.resize(whole.size() + 1);
  EXPECT_EQ(error(padded).message(), "state is truncated or padded: 8 bytes follow the header, expected 7");

  auto damaged = whole;
  damaged.back() ^= std::byte{1};
  EXPECT_EQ(error(damaged).message(), "state is damaged: its checksum does not match its content");

  auto newer = whole;
  newer[8] = std::byte{9};
  EXPECT_EQ(error(newer).code(), StatusCode::version_mismatch);
  EXPECT_EQ(error(newer).message(), "state has format version 9, this library reads version 2");
}

}  // namespace
}  // namespace gradstab
