// The checkpoint file: what comes back, and that nothing damaged or made up does.
#include "lab/run/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cstring>
#include <fstream>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::size_t kPreambleBytes = 24;

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string block(const std::string& bytes) {
  return bytes_of(std::uint64_t{bytes.size()}) + bytes;
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradstab_ckpt_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path path() const { return folder_ / "checkpoint.gsck"; }

  std::string written() const {
    Checkpoint checkpoint;
    checkpoint.header = {{"progress", {{"step", 3}}}};
    checkpoint.tensors["weights/a"] = {DType::float32, {2, 3}, values_};
    checkpoint.tensors["weights/b"] = {DType::bfloat16, {}, std::string_view(values_).substr(0, 2)};
    checkpoint.tensors["weights/empty"] = {DType::float64, {0, 5}, {}};
    checkpoint.blobs["optimizer"] = "state";
    write_checkpoint(path(), checkpoint).check();
    return read_file(path(), kCheckpointFile).value();
  }

  void write(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }

  /// A file with this payload whose checksum and length are right, as somebody who means harm would make it.
  void write_payload(const std::string& payload, std::uint32_t version = 2) const {
    const auto sum = static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(payload.data()), payload.size()));
    write("GSTBCKPT" + bytes_of(version) + bytes_of(sum) + bytes_of(std::uint64_t{payload.size()}) + payload);
  }

  std::string refused() const {
    const auto checkpoint = read_checkpoint(path());
    EXPECT_FALSE(checkpoint.ok());
    EXPECT_THAT(checkpoint.status().message(), HasSubstr(path().string()));
    return checkpoint.ok() ? "" : checkpoint.status().message();
  }

  static std::string tensor(const std::string& name, const std::string& dtype,
                            const std::vector<std::int64_t>& sizes, const std::string& values) {
    std::string text = block(name) + block(dtype) + bytes_of(std::uint64_t{sizes.size()});
    for (const std::int64_t size : sizes) text += bytes_of(size);
    return text + block(values);
  }
  static std::string payload_of(const std::string& tensors, std::uint64_t count) {
    return block("{}") + bytes_of(count) + tensors + bytes_of(std::uint64_t{0});
  }

  std::filesystem::path folder_;
  const std::string values_ = "0123456789abcdefghijklmn";
};

TEST_F(CheckpointTest, ComesBack) {
  (void)written();
  const Checkpoint checkpoint = read_checkpoint(path()).value();
  EXPECT_EQ(checkpoint.header, (Json{{"progress", {{"step", 3}}}}));
  ASSERT_EQ(checkpoint.tensors.size(), 3u);
  const StoredTensor& a = checkpoint.tensors.at("weights/a");
  EXPECT_EQ(a.dtype, DType::float32);
  EXPECT_EQ(a.sizes, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(a.bytes, values_);
  EXPECT_EQ(a.type(), "float32 [2, 3]");
  EXPECT_EQ(checkpoint.tensors.at("weights/b").bytes, "01");
  EXPECT_EQ(checkpoint.tensors.at("weights/empty").sizes, (std::vector<std::int64_t>{0, 5}));
  EXPECT_EQ(checkpoint.blobs.at("optimizer"), "state");
}

TEST_F(CheckpointTest, EveryTruncationAndEveryChangedByteIsRefused) {
  const std::string bytes = written();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    write(bytes.substr(0, length));
    refused();
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    write(changed);
    refused();
  }
  write(bytes + "x");
  EXPECT_THAT(refused(), HasSubstr("is damaged"));
  write(bytes);
  EXPECT_TRUE(read_checkpoint(path()).ok());
}

// With the right checksum, so that what is behind it is reached.
TEST_F(CheckpointTest, PayloadsThatWereMadeUpAreRefused) {
  const std::string bytes = written();
  const std::string payload = bytes.substr(kPreambleBytes);
  for (std::size_t length = 0; length < payload.size(); ++length) {
    write_payload(payload.substr(0, length));
    refused();
  }
  write_payload(payload + "x");
  EXPECT_THAT(refused(), HasSubstr("its content does not parse"));
  write_payload(payload);
  EXPECT_TRUE(read_checkpoint(path()).ok()) << "the control";
}

TEST_F(CheckpointTest, TensorsAreWhatTheirShapeSays) {
  const auto refused_tensor = [&](const std::string& dtype, const std::vector<std::int64_t>& sizes,
                                  const std::string& values) {
    write_payload(payload_of(tensor("weights/a", dtype, sizes, values), 1));
    return refused();
  };
  write_payload(payload_of(tensor("weights/a", "float32", {2}, "01234567"), 1));
  EXPECT_TRUE(read_checkpoint(path()).ok()) << "the control";
  EXPECT_THAT(refused_tensor("float32", {2}, "0123456"),
              HasSubstr("is damaged: tensor 'weights/a': it is float32 [2] and has 7 bytes"));
  EXPECT_THAT(refused_tensor("float64", {2}, "01234567"), HasSubstr("it is float64 [2] and has 8 bytes"));
  EXPECT_THAT(refused_tensor("complex64", {1}, "01234567"), HasSubstr("of an unknown dtype"));
  EXPECT_THAT(refused_tensor("float32", {-1, -2}, "01234567"), HasSubstr("has 8 bytes"));
  // Products that wrap around to 8 and to 0.
  EXPECT_THAT(refused_tensor("float32", {std::int64_t{1} << 62, 2, 2}, "01234567"), HasSubstr("has 8 bytes"));
  EXPECT_THAT(refused_tensor("float32", {std::int64_t{1} << 32, std::int64_t{1} << 30}, ""),
              HasSubstr("has 0 bytes"));
  write_payload(payload_of(tensor("a", "float32", {1}, "0123") + tensor("a", "float32", {1}, "4567"), 2));
  EXPECT_THAT(refused(), HasSubstr("tensor 'a' is in it twice"));
}

TEST_F(CheckpointTest, LengthsAndCountsBeyondTheFileAreRefused) {
  const auto huge = std::uint64_t{1} << 63;
  for (const std::string& payload :
       {bytes_of(huge), block("{}") + bytes_of(huge),
        block("{}") + bytes_of(std::uint64_t{1}) + bytes_of(huge),
        block("{}") + bytes_of(std::uint64_t{1}) + block("a") + block("float32") + bytes_of(huge),
        block("{}") + bytes_of(std::uint64_t{0}) + bytes_of(huge)}) {
    write_payload(payload);
    refused();
  }
}

TEST_F(CheckpointTest, HeadersAreObjectsOfLimitedDepth) {
  const auto with_header = [&](const std::string& header) {
    write_payload(block(header) + bytes_of(std::uint64_t{0}) + bytes_of(std::uint64_t{0}));
  };
  with_header("{}");
  EXPECT_TRUE(read_checkpoint(path()).ok());
  with_header("[1]");
  EXPECT_THAT(refused(), HasSubstr("expected a JSON object, found array"));
  with_header(std::string(100'000, '['));
  EXPECT_THAT(refused(), HasSubstr("nested too deep"));
}

TEST_F(CheckpointTest, VersionOneNeedsItsArchives) {
  write_payload(block("{}") + bytes_of(std::uint64_t{2}) + block("model") + block("no archive") +
                    block("optimizer") + block(""),
                1);
  EXPECT_THAT(refused(), AllOf(HasSubstr("is damaged: an archive of LibTorch in it"), HasSubstr("ZIP")));
  write_payload(block("{}") + bytes_of(std::uint64_t{0}), 1);
  EXPECT_THAT(refused(), HasSubstr("an archive of LibTorch in it"));
  write_payload("", 3);
  EXPECT_THAT(refused(), HasSubstr("has format version 3, this program reads versions 1 and 2"));
}

}  // namespace
}  // namespace gradstab::lab
