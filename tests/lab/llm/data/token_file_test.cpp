#include "lab/llm/data/token_file.hpp"

#include <cstring>

#include "test_files.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kTokenizerHash = 0x1234;

std::vector<std::int32_t> values(TokenView view) {
  std::vector<std::int32_t> result;
  for (std::size_t i = 0; i < view.size(); ++i) result.push_back(static_cast<std::int32_t>(view[i]));
  return result;
}

std::size_t files_in(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

class TokenFileTest : public ::testing::Test {
 protected:
  void write(std::uint64_t vocab_size, std::int32_t highest) {
    TokenFileWriter writer = TokenFileWriter::create(path_, vocab_size, kTokenizerHash).value();
    writer.append(CorpusPart::train, std::vector<std::int32_t>{1, 2, highest}, 10).check();
    writer.append(CorpusPart::validation, std::vector<std::int32_t>{7, 8}, 5).check();
    writer.append(CorpusPart::train, std::vector<std::int32_t>{3}, 1).check();
    writer.commit().check();
  }

  Status error_with(std::size_t offset, char xor_mask) {
    std::string bytes = read_all(path_);
    bytes[offset] = static_cast<char>(bytes[offset] ^ xor_mask);
    return TokenFile::open(directory_.write("changed", bytes)).status();
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "tokens.bin";
};

TEST_F(TokenFileTest, PartsComeBackInOrderInBothWidths) {
  for (const std::uint64_t vocab_size : {kMaxNarrowVocabSize, kMaxNarrowVocabSize + 1}) {
    const auto highest = static_cast<std::int32_t>(vocab_size) - 1;
    write(vocab_size, highest);
    const TokenFile file = TokenFile::open(path_).value();
    EXPECT_EQ(file.vocab_size(), vocab_size);
    EXPECT_EQ(file.tokenizer_hash(), kTokenizerHash);
    EXPECT_EQ(values(file.tokens(CorpusPart::train)), (std::vector<std::int32_t>{1, 2, highest, 3}));
    EXPECT_EQ(values(file.tokens(CorpusPart::validation)), (std::vector<std::int32_t>{7, 8}));
    EXPECT_EQ(file.counts(CorpusPart::train), (PartCounts{4, 2, 11}));
    EXPECT_EQ(file.counts(CorpusPart::validation), (PartCounts{2, 1, 5}));
  }
}

TEST_F(TokenFileTest, NarrowTokensTakeTwoBytes) {
  write(256, 255);
  const auto narrow = std::filesystem::file_size(path_);
  write(kMaxNarrowVocabSize + 1, 255);
  EXPECT_EQ(std::filesystem::file_size(path_) - narrow, 6u * 2u);
}

TEST_F(TokenFileTest, DocumentsLargerThanTheBufferSurvive) {
  std::vector<std::int32_t> tokens(3'000'000);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(mix64(i) % 4096);
  TokenFileWriter writer = TokenFileWriter::create(path_, 4096, kTokenizerHash).value();
  writer.append(CorpusPart::validation, tokens, 0).check();
  writer.append(CorpusPart::train, tokens, 0).check();
  writer.commit().check();
  const TokenFile file = TokenFile::open(path_).value();
  EXPECT_EQ(values(file.tokens(CorpusPart::train)), tokens);
  EXPECT_EQ(values(file.tokens(CorpusPart::validation)), tokens);
}

TEST_F(TokenFileTest, AbandonedWriterLeavesNothing) {
  {
    TokenFileWriter writer = TokenFileWriter::create(path_, 256, kTokenizerHash).value();
    writer.append(CorpusPart::train, std::vector<std::int32_t>{1}, 1).check();
    EXPECT_GT(files_in(directory_.path()), 0u);
  }
  EXPECT_EQ(files_in(directory_.path()), 0u);
  write(256, 9);
  EXPECT_EQ(files_in(directory_.path()), 1u);
}

TEST_F(TokenFileTest, OpenFileSurvivesItsReplacement) {
  write(256, 9);
  const TokenFile old = TokenFile::open(path_).value();
  write(256, 200);
  EXPECT_EQ(old.tokens(CorpusPart::train)[2], 9u);
  EXPECT_EQ(TokenFile::open(path_).value().tokens(CorpusPart::train)[2], 200u);
}

TEST_F(TokenFileTest, TokenOutsideTheVocabularyIsRefused) {
  TokenFileWriter writer = TokenFileWriter::create(path_, 10, kTokenizerHash).value();
  const Status status = writer.append(CorpusPart::train, std::vector<std::int32_t>{1, 10}, 1);
  EXPECT_EQ(status.message(), "token must be in [0, 10), got 10");
  EXPECT_FALSE(writer.append(CorpusPart::train, std::vector<std::int32_t>{-1}, 1).ok());
  EXPECT_EQ(TokenFileWriter::create(path_, 0, 0).status().code(), StatusCode::invalid_argument);
}

TEST_F(TokenFileTest, MissingPlacesAreIoErrors) {
  EXPECT_THAT(TokenFile::open(path_).status().message(), HasSubstr("tokens.bin': No such file or directory"));
  const Status status = TokenFileWriter::create(directory_.path() / "none" / "x", 10, 0).status();
  EXPECT_EQ(status.code(), StatusCode::io_error);
}

TEST_F(TokenFileTest, EveryTruncationIsRefused) {
  write(256, 9);
  const std::string bytes = read_all(path_);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const Status status = TokenFile::open(directory_.write("cut", bytes.substr(0, length))).status();
    EXPECT_EQ(status.code(), StatusCode::corrupt_data) << length;
    EXPECT_THAT(status.message(), HasSubstr("cut' is truncated")) << length;
  }
  EXPECT_THAT(TokenFile::open(directory_.write("long", bytes + "x")).status().message(),
              HasSubstr("overlong"));
}

TEST_F(TokenFileTest, ForeignOtherVersionAndDamagedHeadersAreRefused) {
  write(256, 9);
  EXPECT_THAT(error_with(0, 1).message(), HasSubstr("changed' is foreign"));
  EXPECT_EQ(error_with(8, 2).code(), StatusCode::version_mismatch);
  EXPECT_THAT(error_with(8, 2).message(), HasSubstr("has format version 0, expected 2"));
  for (const std::size_t offset : {12u, 16u, 24u, 32u, 60u, 80u, 100u, 112u, 120u}) {
    EXPECT_EQ(error_with(offset, 4).code(), StatusCode::corrupt_data) << offset;
    EXPECT_THAT(error_with(offset, 4).message(), HasSubstr("damaged header")) << offset;
  }
}

TEST_F(TokenFileTest, EveryChangedByteOfTheTokensIsSeen) {
  for (const std::uint64_t vocab_size : {std::uint64_t{256}, kMaxNarrowVocabSize + 1}) {
    write(vocab_size, 255);
    const std::size_t bytes = read_all(path_).size();
    const std::size_t tokens = 6 * (vocab_size > kMaxNarrowVocabSize ? 4 : 2);
    for (std::size_t offset = bytes - tokens; offset < bytes; ++offset) {
      const Status status = error_with(offset, 1);
      EXPECT_EQ(status.code(), StatusCode::corrupt_data) << offset;
      EXPECT_THAT(status.message(), HasSubstr("has damaged tokens")) << offset;
    }
  }
}

TEST_F(TokenFileTest, TheDigestIsThatOfTheTokensInFileOrder) {
  write(256, 255);
  const std::string bytes = read_all(path_);
  Sha256 sum;
  sum.update(std::string_view(bytes).substr(bytes.size() - 12));
  EXPECT_EQ(to_hex(TokenFile::open(path_).value().sha256()), to_hex(sum.digest()));
  const Sha256Digest before = TokenFile::open(path_).value().sha256();
  write(256, 255);
  EXPECT_EQ(TokenFile::open(path_).value().sha256(), before);
  write(256, 254);
  EXPECT_NE(TokenFile::open(path_).value().sha256(), before);
}

/// Somebody who means harm makes checksums right, too: the second header field, its vocabulary, is lowered,
/// and counts are raised until their sum wraps around.
TEST_F(TokenFileTest, HeadersThatWereMadeUpAreRefused) {
  write(256, 255);
  const auto made_up = [&](std::initializer_list<std::pair<std::size_t, std::uint64_t>> fields) {
    std::string bytes = read_all(path_);
    for (const auto& [offset, value] : fields) std::memcpy(bytes.data() + offset, &value, sizeof value);
    constexpr std::size_t kHeaderBytes = 120;
    const std::uint64_t sum = fnv1a64(std::string_view(bytes).substr(0, kHeaderBytes));
    std::memcpy(bytes.data() + kHeaderBytes, &sum, sizeof sum);
    return TokenFile::open(directory_.write("changed", bytes)).status();
  };
  EXPECT_TRUE(made_up({}).ok()) << "the control";
  EXPECT_THAT(made_up({{16, 200}}).message(), HasSubstr("holds token 255, expected tokens below 200"));
  EXPECT_THAT(made_up({{32, (std::uint64_t{1} << 63) + 3}, {56, (std::uint64_t{1} << 63) + 3}}).message(),
              HasSubstr("counts more tokens than any file holds"));
}

}  // namespace
}  // namespace gradstab::lab
