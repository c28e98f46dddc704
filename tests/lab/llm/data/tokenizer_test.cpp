#include "lab/llm/data/tokenizer.hpp"

#include "test_files.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kSmallVocabSize = 340;

Tokenizer small_bpe() {
  return Tokenizer::train_bpe(word_documents(200), kSmallVocabSize).value();
}

const std::vector<std::string>& difficult_texts() {
  using std::string_literals::operator""s;
  static const std::vector<std::string> texts = {
      "",
      "plain words",
      "  leading, trailing and   inner   spaces  ",
      "lines\n\n   indented\n\ttab\r\n",
      "caf\u00e9 na\u00efve \u4f60\u597d \u0440\u0443\u0441\u0441\u043a\u0438\u0439 "
      "\U0001f600\U0001f1e9\U0001f1ea",
      "combining e\u0301, ligature \ufb01, non-breaking\u00a0space, zero\u200bwidth",
      "SentencePiece's own \u2581space\u2581\u2581 and \u2585",
      "<s> </s> <unk> <0x41>",
      "a NUL \0 inside"s,
      std::string(5000, 'x'),
  };
  return texts;
}

TEST(TokenizerTest, BothKindsAreLossless) {
  for (const Tokenizer& tokenizer : {Tokenizer::bytes(), small_bpe()}) {
    for (const std::string& text : difficult_texts()) {
      const auto ids = tokenizer.encode(text).value();
      EXPECT_EQ(tokenizer.decode(ids).value(), text) << to_string(tokenizer.kind());
      for (const std::int32_t id : ids) {
        EXPECT_GE(id, 0);
        EXPECT_LT(id, tokenizer.vocab_size());
        EXPECT_NE(id, tokenizer.eos_id());
      }
    }
  }
}

TEST(TokenizerTest, BytesHave257Tokens) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  EXPECT_EQ(tokenizer.vocab_size(), 257);
  EXPECT_EQ(tokenizer.eos_id(), 256);
  EXPECT_THAT(tokenizer.encode("A\u00e9").value(), ElementsAre(65, 0xc3, 0xa9));
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{72, 105, 256}).value(), "Hi");
}

TEST(TokenizerTest, BpeHasTheAskedSizeAndCompresses) {
  const Tokenizer tokenizer = small_bpe();
  EXPECT_EQ(tokenizer.kind(), TokenizerKind::bpe);
  EXPECT_EQ(tokenizer.vocab_size(), kSmallVocabSize);
  const std::string text = word_documents(1, 99)[0];
  EXPECT_LT(tokenizer.encode(text).value().size(), text.size() / 2);
}

TEST(TokenizerTest, TrainingTwiceGivesTheSameBytes) {
  EXPECT_EQ(small_bpe().serialized(), small_bpe().serialized());
  const Tokenizer other = Tokenizer::train_bpe(word_documents(200, 5), kSmallVocabSize).value();
  EXPECT_NE(small_bpe().serialized(), other.serialized());
}

TEST(TokenizerTest, EmptyTrainingDocumentsAreHarmless) {
  std::vector<std::string> documents = word_documents(200);
  const std::string expected = Tokenizer::train_bpe(documents, kSmallVocabSize).value().serialized();
  documents.insert(documents.begin() + 3, "");
  EXPECT_EQ(Tokenizer::train_bpe(documents, kSmallVocabSize).value().serialized(), expected);
}

TEST(TokenizerTest, TrainingPrintsNothing) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  (void)small_bpe();
  (void)Tokenizer::train_bpe(word_documents(20), 50000);
  (void)Tokenizer::deserialize("garbage", "x");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(TokenizerTest, SavedModelLoadsEqual) {
  const TemporaryDirectory directory;
  for (const Tokenizer& tokenizer : {Tokenizer::bytes(), small_bpe()}) {
    const auto path = directory.path() / "model";
    ASSERT_TRUE(tokenizer.save(path).ok());
    const Tokenizer loaded = Tokenizer::load(path).value();
    EXPECT_EQ(loaded.kind(), tokenizer.kind());
    EXPECT_EQ(loaded.vocab_size(), tokenizer.vocab_size());
    EXPECT_EQ(loaded.eos_id(), tokenizer.eos_id());
    for (const std::string& text : difficult_texts()) {
      EXPECT_EQ(loaded.encode(text).value(), tokenizer.encode(text).value());
    }
  }
}

TEST(TokenizerTest, ImpossibleVocabSizesSayWhatIsPossible) {
  const auto message = [](int vocab_size) {
    const Status status = Tokenizer::train_bpe(word_documents(50), vocab_size).status();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_THAT(status.message(), ::testing::Not(HasSubstr("\n")));
    return status.message();
  };
  EXPECT_EQ(message(0), "vocab_size must be in [264, 1048576], got 0");
  EXPECT_EQ(message(-5), "vocab_size must be in [264, 1048576], got -5");
  EXPECT_THAT(message(264), HasSubstr("vocab_size 264: too small for this text, expected at least"));
  EXPECT_THAT(message(50000), HasSubstr("vocab_size 50000: too large for this text, expected at most"));
  EXPECT_THAT(Tokenizer::train_bpe({}, 4096).status().message(), HasSubstr("without text"));
}

TEST(TokenizerTest, NamedLimitsOfVocabSizeAreReachable) {
  const auto limit = [](int vocab_size) {
    const std::string message = Tokenizer::train_bpe(word_documents(50), vocab_size).status().message();
    return std::stoi(message.substr(message.rfind(' ')));
  };
  EXPECT_TRUE(Tokenizer::train_bpe(word_documents(50), limit(264)).ok());
  EXPECT_TRUE(Tokenizer::train_bpe(word_documents(50), limit(50000)).ok());
}

TEST(TokenizerTest, ForeignModelsAreRefused) {
  const TemporaryDirectory directory;
  EXPECT_EQ(Tokenizer::load(directory.path() / "none").status().code(), StatusCode::io_error);
  const std::string model = small_bpe().serialized();
  for (const std::string& bytes :
       {std::string(), std::string("garbage"), model.substr(0, model.size() / 2), std::string(200, 'z')}) {
    const Status status = Tokenizer::load(directory.write("model", bytes)).status();
    EXPECT_EQ(status.code(), StatusCode::corrupt_data);
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr("model' is not a tokenizer model"), ::testing::Not(HasSubstr("\n"))));
  }
}

TEST(TokenizerTest, DecodingRefusesForeignIds) {
  EXPECT_EQ(Tokenizer::bytes().decode(std::vector<std::int32_t>{65, 257}).status().message(),
            "token id must be in [0, 257), got 257");
  EXPECT_FALSE(small_bpe().decode(std::vector<std::int32_t>{-1}).ok());
}

TEST(TokenizerTest, KindNamesRoundTrip) {
  EXPECT_EQ(parse_tokenizer_kind("bpe"), TokenizerKind::bpe);
  EXPECT_EQ(parse_tokenizer_kind("bytes"), TokenizerKind::bytes);
  EXPECT_EQ(parse_tokenizer_kind("BPE"), std::nullopt);
}

}  // namespace
}  // namespace gradstab::lab
