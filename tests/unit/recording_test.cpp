// The bytes of a recording, and what is read of them when they are cut off or damaged.
#include "gradstab/recording.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "core/base/state_codec.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Keeps what is read.
struct Kept : RecordingSink {
  struct Step {
    std::int64_t step;
    std::optional<double> loss;
    double global_norm;
    std::vector<double> norms;
  };
  void header(const RecordingHeader& header) override { headers.push_back(header); }
  bool step(const RecordedStep& step) override {
    steps.push_back({step.step, step.loss, step.global_norm, {step.norms.begin(), step.norms.end()}});
    return steps.size() < most;
  }
  std::vector<std::int64_t> numbers() const {
    std::vector<std::int64_t> list;
    for (const Step& each : steps) list.push_back(each.step);
    return list;
  }

  std::vector<RecordingHeader> headers;
  std::vector<Step> steps;
  std::size_t most = SIZE_MAX;
};

const RecordingHeader kHeader = {.tensors = {{"w", 6, "float32"}, {"b", 2, ""}},
                                 .facts = {{"optimizer", "AdamW"}}};

/// A recording of kHeader and three steps, and where each of its blocks ends.
struct Recording {
  Recording() {
    RecordingEncoder::start(bytes);
    ends.push_back(bytes.size());
    EXPECT_TRUE(encoder.header(kHeader, bytes).ok());
    ends.push_back(bytes.size());
    add(7, 2.5, {3.0, 4.0});
    add(8, {}, {kNoGradient, 0.5});
    add(300, {}, {1e300, 0.0});
  }
  void add(std::int64_t step, std::optional<double> loss, const std::vector<double>& norms) {
    EXPECT_TRUE(encoder.step(step, loss, norms, bytes).ok());
    ends.push_back(bytes.size());
  }

  RecordingEncoder encoder;
  Bytes bytes;
  std::vector<std::size_t> ends;
};

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes)
    for (const int shift : {4, 0}) text += "0123456789abcdef"[std::to_integer<int>(byte >> shift) & 15];
  return text;
}

Bytes unhex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

TEST(RecordingTest, HasTheseBytes) {
  // Computed by Python's struct and zlib from docs/recording-format.md.
  const std::string expected =
      "8947534e4f524d0a010000000534863848454144470000002b1bdde60200000001000000090000006f7074696d697a65"
      "72050000004164616d570100000077060000000000000007000000666c6f617433320100000062020000000000000000"
      "000000142172af53544550280000002d35116b142172af07000000000000000100000000000000000014400000000000"
      "0004400000404000008040bd8dd9f9535445501d000000be3de4ac142172af0800000000000000020000000000000000"
      "00e03f020000003f495439e253544550280000002d35116b142172af2c01000000000000040000009c7500883ce4377e"
      "9c7500883ce4377e000000000000000027d0d5ea";
  EXPECT_EQ(hex(Recording().bytes), expected);
  const Bytes bytes = unhex(expected);
  EXPECT_TRUE(looks_like_recording(bytes));
  EXPECT_FALSE(looks_like_recording(std::span(bytes).subspan(1)));
}

TEST(RecordingTest, IsReadBackAsItWasWritten) {
  Recording recording;
  const double rounded = 0.1;  // in float32
  recording.add(301, kNaN, {kNaN, kInfinity});
  recording.add(302, -1.5, {rounded, 0x1p-126});
  recording.add(303, {}, {rounded, 0x1p-127});      // below the normal float32: both are float64
  recording.add(304, {}, {kNoGradient, 0x1p+128});  // above the largest
  recording.add(305, {}, {kNoGradient, kNoGradient});
  Kept kept;
  RecordingReader reader;
  ASSERT_TRUE(reader.feed(recording.bytes, kept).value());
  EXPECT_THAT(kept.headers, ElementsAre(kHeader));
  EXPECT_EQ(kept.headers[0].fact("optimizer"), "AdamW");
  EXPECT_EQ(kept.headers[0].fact("beta2"), "");
  EXPECT_THAT(kept.numbers(), ElementsAre(7, 8, 300, 301, 302, 303, 304, 305));
  EXPECT_EQ(kept.steps[0].loss, 2.5);
  EXPECT_EQ(kept.steps[0].global_norm, 5.0);
  EXPECT_THAT(kept.steps[0].norms, ElementsAre(3.0, 4.0));
  EXPECT_EQ(kept.steps[1].loss, std::nullopt);
  EXPECT_THAT(kept.steps[1].norms, ElementsAre(kNoGradient, 0.5));
  EXPECT_THAT(kept.steps[2].norms, ElementsAre(1e300, 0.0));
  EXPECT_EQ(kept.steps[2].global_norm, 1e300);
  EXPECT_TRUE(std::isnan(kept.steps[3].loss.value()));
  EXPECT_TRUE(std::isnan(kept.steps[3].global_norm));
  EXPECT_TRUE(std::isnan(kept.steps[3].norms[0]));
  EXPECT_EQ(kept.steps[3].norms[1], kInfinity);
  EXPECT_EQ(kept.steps[4].loss, -1.5);
  EXPECT_THAT(kept.steps[4].norms, ElementsAre(double{0.1f}, 0x1p-126));
  EXPECT_NE(kept.steps[4].norms[0], rounded) << "float32 does not have it";
  EXPECT_NEAR(kept.steps[4].norms[0], rounded, 0x1p-24 * rounded);
  EXPECT_EQ(kept.steps[4].global_norm, rounded) << "the global norm is of the norms before rounding";
  EXPECT_THAT(kept.steps[5].norms, ElementsAre(rounded, 0x1p-127));
  EXPECT_THAT(kept.steps[6].norms, ElementsAre(kNoGradient, 0x1p+128));
  EXPECT_EQ(kept.steps[7].global_norm, 0.0);
  EXPECT_EQ(reader.whole_bytes(), recording.bytes.size());
  EXPECT_EQ(reader.pending_bytes(), 0u);
  EXPECT_EQ(reader.damaged_places(), 0);
}

TEST(RecordingTest, MayComeByteByByte) {
  const Recording recording;
  Kept kept;
  RecordingReader reader;
  for (const std::byte byte : recording.bytes) ASSERT_TRUE(reader.feed({&byte, 1}, kept).value());
  EXPECT_THAT(kept.numbers(), ElementsAre(7, 8, 300));
  EXPECT_EQ(reader.damaged_places(), 0);
}

TEST(RecordingTest, CutOffAnywhereHasTheWholeBlocksBeforeAndNoDamage) {
  const Recording recording;
  for (std::size_t size = 0; size <= recording.bytes.size(); ++size) {
    Kept kept;
    RecordingReader reader;
    ASSERT_TRUE(reader.feed(std::span(recording.bytes).first(size), kept).value()) << size;
    std::size_t whole = 0;
    std::size_t blocks = 0;
    for (const std::size_t end : recording.ends)
      if (end <= size) whole = end, ++blocks;
    EXPECT_EQ(reader.whole_bytes(), whole) << size;
    EXPECT_EQ(reader.pending_bytes(), size - whole) << size;
    EXPECT_EQ(kept.steps.size(), blocks > 2 ? blocks - 2 : 0) << size;
    EXPECT_EQ(reader.damaged_places(), 0) << size;
  }
}

TEST(RecordingTest, ADamagedByteCostsItsBlockAlone) {
  const Recording recording;
  for (std::size_t at = recording.ends[1]; at < recording.bytes.size(); ++at) {
    Bytes bytes = recording.bytes;
    bytes[at] ^= std::byte{0x10};
    Kept kept;
    RecordingReader reader;
    ASSERT_TRUE(reader.feed(bytes, kept).value());
    std::vector<std::int64_t> expected = {7, 8, 300};
    const auto block = std::upper_bound(recording.ends.begin(), recording.ends.end(), at);
    expected.erase(expected.begin() + (block - recording.ends.begin()) - 2);
    EXPECT_EQ(kept.numbers(), expected) << at;
    EXPECT_EQ(reader.damaged_places(), 1) << at;
  }
}

TEST(RecordingTest, StepsOfADamagedHeaderAreNotTakenForThoseOfTheOneBefore) {
  Recording recording;
  RecordingHeader other = kHeader;
  std::swap(other.tensors[0].name, other.tensors[1].name);
  const std::size_t header = recording.bytes.size();
  ASSERT_TRUE(recording.encoder.header(other, recording.bytes).ok());
  recording.add(301, {}, {1.0, 2.0});
  Kept whole;
  RecordingReader reader;
  ASSERT_TRUE(reader.feed(recording.bytes, whole).value());
  EXPECT_THAT(whole.headers, ElementsAre(kHeader, other));
  EXPECT_THAT(whole.numbers(), ElementsAre(7, 8, 300, 301));
  recording.bytes[header + 20] ^= std::byte{1};
  Kept kept;
  RecordingReader damaged;
  ASSERT_TRUE(damaged.feed(recording.bytes, kept).value());
  EXPECT_THAT(kept.headers, ElementsAre(kHeader));
  EXPECT_THAT(kept.numbers(), ElementsAre(7, 8, 300));
  EXPECT_EQ(damaged.damaged_places(), 1) << "the header and what belongs to it";
}

/// A block of any kind with the checksums that belong to it.
Bytes block(const std::string& code, std::span<const std::byte> payload) {
  ByteWriter writer;
  writer.put(std::as_bytes(std::span(code)));
  writer.put(static_cast<std::uint32_t>(payload.size()));
  writer.put(crc32(writer.bytes()));
  writer.put(payload);
  writer.put(crc32(payload));
  return writer.bytes();
}

TEST(RecordingTest, BlocksOfOtherKindsArePassedOver) {
  Recording recording;
  const Bytes other = block("NEWS", std::as_bytes(std::span("whatever it is")));
  recording.bytes.insert(recording.bytes.begin() + static_cast<std::ptrdiff_t>(recording.ends[2]),
                         other.begin(), other.end());
  Kept kept;
  RecordingReader reader;
  ASSERT_TRUE(reader.feed(recording.bytes, kept).value());
  EXPECT_THAT(kept.numbers(), ElementsAre(7, 8, 300));
  EXPECT_EQ(reader.unknown_blocks(), 1);
  EXPECT_EQ(reader.damaged_places(), 0);
}

TEST(RecordingTest, NumbersThatCannotBeAreDamage) {
  ByteWriter many;  // tensors, of which there are no bytes
  many.put(std::uint32_t{0xFFFFFFFF});
  many.put(std::uint32_t{0});
  Recording recording;
  const Bytes header = block("HEAD", many.bytes());
  ByteWriter long_one;  // a length beyond 256 MiB, with its right checksum
  long_one.put(std::as_bytes(std::span("STEP", 4)));
  long_one.put(std::uint32_t{0xFFFFFFF0});
  long_one.put(crc32(long_one.bytes()));
  for (const Bytes& piece : {header, long_one.bytes()}) {
    Bytes bytes = recording.bytes;
    bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(recording.ends[2]), piece.begin(), piece.end());
    Kept kept;
    RecordingReader reader;
    ASSERT_TRUE(reader.feed(bytes, kept).value());
    EXPECT_THAT(kept.numbers(), ElementsAre(7, 8, 300));
    EXPECT_EQ(reader.damaged_places(), 1);
  }
}

TEST(RecordingTest, ReadingEndsWhereTheSinkHasEnough) {
  const Recording recording;
  Kept kept;
  kept.most = 2;
  RecordingReader reader;
  EXPECT_FALSE(reader.feed(recording.bytes, kept).value());
  EXPECT_THAT(kept.numbers(), ElementsAre(7, 8));
}

TEST(RecordingTest, OtherFilesAndLaterVersionsAreRefused) {
  const auto refusal = [](const Bytes& bytes) {
    Kept kept;
    RecordingReader reader;
    return reader.feed(bytes, kept).status();
  };
  Bytes bytes = Recording().bytes;
  bytes[8] = std::byte{2};
  EXPECT_EQ(refusal(bytes).code(), StatusCode::corrupt_data);
  EXPECT_THAT(refusal(bytes).message(), HasSubstr("the checksum of its version is wrong"));
  const std::uint32_t checksum = crc32(std::span(bytes).first(12));
  std::memcpy(bytes.data() + 12, &checksum, sizeof checksum);
  EXPECT_EQ(refusal(bytes).code(), StatusCode::version_mismatch);
  EXPECT_THAT(refusal(bytes).message(), HasSubstr("format version 2, expected 1"));
  EXPECT_EQ(refusal(Bytes(4, std::byte{'x'})).code(), StatusCode::corrupt_data);
}

TEST(RecordingTest, WhatCannotBeRecordedIsRefusedAndAddsNothing) {
  Recording recording;
  const Bytes before = recording.bytes;
  const auto refusal = [&](std::int64_t step, const std::vector<double>& norms) {
    const Status status = recording.encoder.step(step, {}, norms, recording.bytes);
    EXPECT_EQ(recording.bytes, before);
    return status.message();
  };
  EXPECT_EQ(refusal(-1, {1.0, 2.0}), "a recorded step must be at least 0, got -1");
  EXPECT_EQ(refusal(1, {1.0}), "got 1 norms for 2 recorded tensors");
  EXPECT_EQ(refusal(1, {1.0, -0.5}), "a norm must be at least 0, or -1 where there is no gradient, got -0.5");
}

}  // namespace
}  // namespace gradstab
