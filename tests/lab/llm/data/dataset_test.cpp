#include "lab/llm/data/dataset.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "lab/llm/data/batch_sampler.hpp"
#include "test_files.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

constexpr int kDocuments = 400;

// The documents of a part, decoded.
std::vector<std::string> decoded(const Dataset& dataset, CorpusPart part) {
  const TokenView tokens = part == CorpusPart::train ? dataset.train() : dataset.validation();
  std::vector<std::string> documents;
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<std::int32_t>(tokens[i]);
    if (id != dataset.tokenizer().eos_id()) {
      ids.push_back(id);
      continue;
    }
    documents.push_back(dataset.tokenizer().decode(ids).value());
    ids.clear();
  }
  EXPECT_TRUE(ids.empty()) << "the last document has no end";
  return documents;
}

class DatasetTest : public ::testing::Test {
 protected:
  DatasetTest() {
    options_.source = directory_.write("corpus.txt", joined(word_documents(kDocuments))).string();
    options_.vocab_size = 340;
    options_.cache_dir = directory_.path() / "cache";
  }

  std::filesystem::path entry() const {
    return cache_entry(options_.cache_dir, resolve_source(options_.source).value(), options_);
  }

  TemporaryDirectory directory_;
  DatasetOptions options_;
};

TEST_F(DatasetTest, PartsAreDisjointAndTogetherTheSource) {
  for (const TokenizerKind kind : {TokenizerKind::bpe, TokenizerKind::bytes}) {
    options_.tokenizer = kind;
    const Dataset dataset = prepare_dataset(options_).value();
    const auto train = decoded(dataset, CorpusPart::train);
    const auto validation = decoded(dataset, CorpusPart::validation);
    EXPECT_EQ(train.size(), dataset.counts(CorpusPart::train).documents);
    EXPECT_EQ(validation.size(), dataset.counts(CorpusPart::validation).documents);

    std::multiset<std::string> all(train.begin(), train.end());
    for (const std::string& document : validation) {
      EXPECT_EQ(all.count(document), 0u);
      all.insert(document);
    }
    const auto source = word_documents(kDocuments);
    EXPECT_EQ(all, std::multiset<std::string>(source.begin(), source.end()));
    EXPECT_GE(validation.size(), 10u);
    EXPECT_LE(validation.size(), kDocuments / 5);
  }
}

TEST_F(DatasetTest, SplitDoesNotDependOnTheTokenizerOfASmallSource) {
  const auto bpe = decoded(prepare_dataset(options_).value(), CorpusPart::validation);
  options_.vocab_size = 300;
  EXPECT_EQ(decoded(prepare_dataset(options_).value(), CorpusPart::validation), bpe);
}

TEST_F(DatasetTest, FiguresDescribeTheTokens) {
  options_.tokenizer = TokenizerKind::bytes;
  const Dataset dataset = prepare_dataset(options_).value();
  const PartCounts& held_out = dataset.counts(CorpusPart::validation);
  EXPECT_EQ(dataset.vocab_size(), 257);
  EXPECT_EQ(held_out.tokens, dataset.validation().size());
  EXPECT_EQ(held_out.tokens, held_out.text_bytes + held_out.documents);
  EXPECT_DOUBLE_EQ(dataset.validation_bytes_per_token(),
                   static_cast<double>(held_out.text_bytes) / static_cast<double>(held_out.tokens));
  EXPECT_THAT(dataset.description(), HasSubstr("corpus.txt, bytes 257: "));
}

TEST_F(DatasetTest, SecondCallReusesTheCache) {
  std::vector<PrepareStage> stages;
  const PrepareProgress progress = [&](PrepareStage stage, double fraction) {
    EXPECT_GE(fraction, 0.0);
    EXPECT_LE(fraction, 1.0);
    if (stages.empty() || stages.back() != stage) stages.push_back(stage);
  };
  const Dataset made = prepare_dataset(options_, progress).value();
  EXPECT_FALSE(made.from_cache());
  EXPECT_THAT(stages, ::testing::ElementsAre(PrepareStage::scanning, PrepareStage::training_tokenizer,
                                             PrepareStage::tokenizing));
  stages.clear();
  const auto written = std::filesystem::last_write_time(entry() / "tokens.bin");
  const Dataset reused = prepare_dataset(options_, progress).value();
  EXPECT_TRUE(reused.from_cache());
  EXPECT_TRUE(stages.empty());
  EXPECT_EQ(std::filesystem::last_write_time(entry() / "tokens.bin"), written);
  EXPECT_EQ(reused.tokenizer().serialized(), made.tokenizer().serialized());
  EXPECT_EQ(decoded(reused, CorpusPart::train), decoded(made, CorpusPart::train));
}

TEST_F(DatasetTest, ChangedSourceOrSettingsMakeAnotherEntry) {
  std::set<std::filesystem::path> entries = {entry()};
  options_.vocab_size = 341;
  entries.insert(entry());
  options_.tokenizer = TokenizerKind::bytes;
  entries.insert(entry());
  directory_.write("corpus.txt", joined(word_documents(kDocuments + 1)));
  entries.insert(entry());
  const std::filesystem::path source = options_.source;
  std::filesystem::last_write_time(source,
                                   std::filesystem::last_write_time(source) - std::chrono::seconds(10));
  entries.insert(entry());
  EXPECT_EQ(entries.size(), 5u);
}

TEST_F(DatasetTest, DamagedEntriesAreMadeAgain) {
  const auto expected = decoded(prepare_dataset(options_).value(), CorpusPart::train);
  const auto tokens = entry() / "tokens.bin";
  const auto model = entry() / "tokenizer.model";
  const auto other_model = Tokenizer::train_bpe(word_documents(100, 9), 340).value();
  const std::vector<std::function<void()>> damages = {
      [&] { std::filesystem::resize_file(tokens, std::filesystem::file_size(tokens) / 2); },
      [&] { std::ofstream(tokens, std::ios::binary) << "garbage"; },
      [&] {  // a token in the middle
        std::fstream file(tokens, std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(tokens) / 2));
        file.put('\x7f').put('\x7f');
      },
      [&] { std::filesystem::remove(tokens); },
      [&] { std::ofstream(model, std::ios::binary) << "garbage"; },
      [&] { std::filesystem::remove(model); },
      [&] { other_model.save(model).check(); },
  };
  for (const auto& damage : damages) {
    damage();
    const Dataset remade = prepare_dataset(options_).value();
    EXPECT_FALSE(remade.from_cache());
    EXPECT_EQ(decoded(remade, CorpusPart::train), expected);
    EXPECT_TRUE(prepare_dataset(options_).value().from_cache());
  }
}

TEST_F(DatasetTest, TemporaryFilesOfKilledProcessesAreRemovedAndThoseOfLivingOnesKept) {
  std::filesystem::create_directories(entry());
  const auto stale = entry() / "tokens.bin.tmp1-0";
  std::ofstream(stale) << "x";
  const auto living = TokenFileWriter::create(entry() / "tokens.bin", 257, 0).value();
  const auto temporaries = [&] {
    int count = 0;
    for (const auto& file : std::filesystem::directory_iterator(entry()))
      count += file.path().filename().string().find(".tmp") != std::string::npos ? 1 : 0;
    return count;
  };
  ASSERT_EQ(temporaries(), 3);
  (void)prepare_dataset(options_).value();
  EXPECT_FALSE(std::filesystem::exists(stale));
  EXPECT_EQ(temporaries(), 2) << "a writer has two";
}

TEST_F(DatasetTest, TwoProcessesMayPrepareAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(prepare_dataset(options_).ok() ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int code = -1;
    ::waitpid(child, &code, 0);
    EXPECT_EQ(code, 0);
  }
  EXPECT_TRUE(prepare_dataset(options_).value().from_cache());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(entry()), {}), 2);
}

TEST_F(DatasetTest, TwoDocumentsGiveOneToEachPart) {
  options_.tokenizer = TokenizerKind::bytes;
  options_.source = directory_.write("two.txt", "first\n\nsecond").string();
  const Dataset dataset = prepare_dataset(options_).value();
  EXPECT_EQ(dataset.counts(CorpusPart::train).documents, 1u);
  EXPECT_EQ(dataset.counts(CorpusPart::validation).documents, 1u);
}

TEST_F(DatasetTest, ErrorsAreClear) {
  const auto message = [&] { return prepare_dataset(options_).status().message(); };
  options_.vocab_size = 3;
  EXPECT_THAT(message(), HasSubstr("vocab_size must be in [264, 1048576], got 3"));
  options_.vocab_size = 60000;
  EXPECT_THAT(message(), HasSubstr("vocab_size 60000: too large for this text"));
  options_.source = directory_.write("one.txt", "one document\n").string();
  EXPECT_THAT(message(), HasSubstr("one.txt' holds a single document"));
  options_.source = (directory_.path() / "none").string();
  EXPECT_THAT(message(), HasSubstr("none' does not exist"));
  options_.source = directory_.write("two.txt", "first\n\nsecond").string();
  options_.cache_dir = directory_.path() / "two.txt" / "below";
  EXPECT_THAT(message(), HasSubstr("cannot create the cache directory"));
}

TEST(DefaultCacheDirTest, FollowsTheEnvironment) {
  const auto with = [](const char* own, const char* xdg, const char* home) {
    const auto set = [](const char* name, const char* value) {
      value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name);
    };
    set("GRADSTAB_CACHE", own);
    set("XDG_CACHE_HOME", xdg);
    set("HOME", home);
    return default_cache_dir();
  };
  EXPECT_EQ(with("/a", "/b", "/c").value(), "/a");
  EXPECT_EQ(with(nullptr, "/b", "/c").value(), "/b/gradstab");
  EXPECT_EQ(with("", "", "/c").value(), "/c/.cache/gradstab");
  EXPECT_THAT(with(nullptr, nullptr, nullptr).status().message(), HasSubstr("set GRADSTAB_CACHE"));
}

// Bytes, because training BPE on the whole dictionary takes half a minute.
TEST(GcideTest, RealDictionaryIsPreparedAndReusedQuickly) {
  if (!std::filesystem::exists(kGcidePath)) GTEST_SKIP() << "the Debian package dict-gcide is not installed";
  const TemporaryDirectory directory;
  const DatasetOptions options{.tokenizer = TokenizerKind::bytes, .cache_dir = directory.path()};
  const Dataset dataset = prepare_dataset(options).value();
  const PartCounts& train = dataset.counts(CorpusPart::train);
  const PartCounts& held_out = dataset.counts(CorpusPart::validation);
  EXPECT_GT(train.documents, 100'000u);
  EXPECT_GT(train.text_bytes, 38'000'000u);
  EXPECT_NEAR(static_cast<double>(held_out.text_bytes) / static_cast<double>(train.text_bytes), 0.01, 0.002);

  // All 80 MB are compared with their checksum, which takes 0.02 s; the best of a few tries, since tests
  // share the machine.
  double seconds = 1.0;
  for (int tries = 0; tries < 20 && seconds >= 0.05; ++tries) {
    const auto start = std::chrono::steady_clock::now();
    const Dataset again = prepare_dataset(options).value();
    const auto taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    seconds = std::min(seconds, taken);
    EXPECT_TRUE(again.from_cache());
  }
  EXPECT_LT(seconds, 0.05);
  const Dataset reused = prepare_dataset(options).value();
  EXPECT_EQ(reused.train()[0], static_cast<std::uint32_t>('0'));
}

}  // namespace
}  // namespace gradstab::lab
