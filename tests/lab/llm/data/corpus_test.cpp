#include "lab/llm/data/corpus.hpp"

#include <chrono>

#include "test_files.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::vector<std::string>> documents_of(const std::filesystem::path& path) {
  const Result<CorpusSource> source = resolve_source(path.string());
  if (!source) return source.status();
  std::vector<std::string> documents;
  const Status status = for_each_document(*source, [&](std::string_view text) {
    documents.emplace_back(text);
    return Status();
  });
  if (!status.ok()) return status;
  return documents;
}

class CorpusTest : public ::testing::Test {
 protected:
  Status error_of(const std::filesystem::path& path) { return documents_of(path).status(); }
  TemporaryDirectory directory_;
};

TEST_F(CorpusTest, BlankLinesSeparatePlainTextDocuments) {
  const auto path = directory_.write("a.txt", "\n\n one\ntwo  \n \t\n\nthree\r\nfour\r\n\r\nfive");
  EXPECT_THAT(documents_of(path).value(), ElementsAre(" one\ntwo", "three\nfour", "five"));
}

TEST_F(CorpusTest, GzipTextReadsLikePlainText) {
  const std::string text = joined(word_documents(2000));
  const auto plain = documents_of(directory_.write("a.txt", text)).value();
  EXPECT_EQ(documents_of(directory_.write("a.txt.gz", gzip(directory_, text))).value(), plain);
  EXPECT_EQ(plain, word_documents(2000));
}

TEST_F(CorpusTest, ConcatenatedGzipMembersAreOneText) {
  const auto path = directory_.write("a.gz", gzip(directory_, "one\n\ntw") + gzip(directory_, "o\n\nthree"));
  EXPECT_THAT(documents_of(path).value(), ElementsAre("one", "two", "three"));
}

TEST_F(CorpusTest, ByteOrderMarkIsDroppedAndLatin1Repaired) {
  const auto path = directory_.write("a.txt",
                                     "\xef\xbb\xbf"
                                     "caf\xe9 au lait, sans accent ailleurs\n");
  EXPECT_THAT(documents_of(path).value(), ElementsAre("caf\u00e9 au lait, sans accent ailleurs"));
}

TEST_F(CorpusTest, LongDocumentsAreCutAtLineEndsAndLoseNothing) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i) + "\n";
  std::string together;
  const std::vector<std::string> documents = documents_of(directory_.write("a.txt", text)).value();
  for (const std::string& document : documents) {
    EXPECT_LE(document.size(), kMaxDocumentBytes);
    EXPECT_TRUE(document.starts_with("line "));
    together += document + "\n";
  }
  EXPECT_EQ(together, text);
}

TEST_F(CorpusTest, LongLineIsCutBetweenCharacters) {
  std::string text = "x";  // makes the limit fall inside a character
  for (int i = 0; i < 40000; ++i) text += "\u20ac";
  std::string together;
  const std::vector<std::string> documents = documents_of(directory_.write("a.txt", text)).value();
  for (const std::string& document : documents) {
    EXPECT_LE(document.size(), kMaxDocumentBytes);
    together += document;
  }
  EXPECT_EQ(together, text);
}

TEST_F(CorpusTest, JsonLinesGiveTheirText) {
  const std::string lines = "{\"text\": \"one\\n\\ntwo\"}\n\n{\"id\": 3, \"text\": \"caf\\u00e9\"}\n";
  for (const char* name : {"a.jsonl", "a.ndjson", "a.json"}) {
    EXPECT_THAT(documents_of(directory_.write(name, lines)).value(), ElementsAre("one\n\ntwo", "caf\u00e9"));
  }
  EXPECT_THAT(documents_of(directory_.write("b.jsonl.gz", gzip(directory_, lines))).value(),
              ElementsAre("one\n\ntwo", "caf\u00e9"));
}

TEST_F(CorpusTest, GcideIsSplitIntoEntriesWithoutItsHeader) {
  const auto path = directory_.write("gcide.dict.dz", gzip(directory_,
                                                           "\n00-database-url\n   ftp://x\n\nsome licence\n"
                                                           "      a motto.\n"
                                                           "0 \\0\\ adj.\n   1. zero\n\n   Syn: nought\n\n"
                                                           "Aaronic \\Aa*ron\"ic\\, Aaronical\n"
                                                           "\\Aa*ron\"ic*al\\, a.\n   Of Aaron.\n\n"
                                                           "[1913 Webster]\n\nAb \\Ab\\, n.\n   A month.\n"));
  const CorpusSource source = resolve_source(kGcideSource, path).value();
  EXPECT_EQ(source.format, CorpusFormat::gcide);
  std::vector<std::string> documents;
  const Status status = for_each_document(source, [&](std::string_view text) {
    documents.emplace_back(text);
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(
      documents,
      ElementsAre("0 \\0\\ adj.\n   1. zero\n\n   Syn: nought",
                  "Aaronic \\Aa*ron\"ic\\, Aaronical\n\\Aa*ron\"ic*al\\, a.\n   Of Aaron.\n\n[1913 Webster]",
                  "Ab \\Ab\\, n.\n   A month."));
}

TEST_F(CorpusTest, CallbackErrorEndsTheReading) {
  const CorpusSource source = resolve_source(directory_.write("a.txt", "a\n\nb\n\nc").string()).value();
  int calls = 0;
  const Status status = for_each_document(source, [&](std::string_view) {
    return ++calls == 2 ? Status(StatusCode::io_error, "enough") : Status();
  });
  EXPECT_EQ(status.message(), "enough");
  EXPECT_EQ(calls, 2);
}

TEST_F(CorpusTest, MissingFileNamesThePathAndTheChoices) {
  const Status status = error_of(directory_.path() / "none.txt");
  EXPECT_EQ(status.code(), StatusCode::io_error);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("none.txt' does not exist"), HasSubstr("'dict-gcide' or the path")));
  EXPECT_EQ(resolve_source("").status().code(), StatusCode::invalid_argument);
}

TEST_F(CorpusTest, MissingGcideSaysWhatToDo) {
  const Status status = resolve_source(kGcideSource, directory_.path() / "gcide.dict.dz").status();
  EXPECT_EQ(status.code(), StatusCode::io_error);
  EXPECT_THAT(status.message(),
              HasSubstr("install the Debian package dict-gcide or pass your own text with --data"));
}

TEST_F(CorpusTest, DirectoryAndSpecialFileAreRefused) {
  EXPECT_THAT(error_of(directory_.path()).message(),
              HasSubstr("is a directory, expected a text or JSONL file"));
  EXPECT_THAT(error_of("/dev/null").message(), HasSubstr("'/dev/null' is not a regular file"));
}

TEST_F(CorpusTest, EmptyAndBlankFilesAreRefused) {
  EXPECT_THAT(error_of(directory_.write("a.txt", "")).message(), HasSubstr("a.txt' is empty"));
  EXPECT_THAT(error_of(directory_.write("b.txt", " \n\n\t\n")).message(), HasSubstr("b.txt' holds no text"));
  EXPECT_THAT(error_of(directory_.write("c.txt.gz", gzip(directory_, ""))).message(),
              HasSubstr("holds no text"));
}

TEST_F(CorpusTest, BinaryFilesAreRefused) {
  using std::string_literals::operator""s;
  const Status nul = error_of(directory_.write("a.bin", "abc\0def"s));
  EXPECT_EQ(nul.code(), StatusCode::corrupt_data);
  EXPECT_THAT(nul.message(), AllOf(HasSubstr("a.bin' is not text"), HasSubstr("NUL byte at offset 3")));

  std::string noise;
  for (unsigned i = 0; i < 5000; ++i) noise += static_cast<char>(1 + mix64(i) % 255);
  EXPECT_THAT(error_of(directory_.write("b.bin", noise)).message(),
              HasSubstr("% of its first bytes are not UTF-8"));
}

TEST_F(CorpusTest, LateNulByteIsFoundAtItsOffset) {
  std::string text(1 << 20, 'a');
  text[700001] = '\0';
  EXPECT_THAT(error_of(directory_.write("a.txt", text)).message(), HasSubstr("NUL byte at offset 700001"));
}

TEST_F(CorpusTest, DamagedGzipIsRefused) {
  const std::string whole = gzip(directory_, joined(word_documents(3000)));
  for (const std::size_t length : {whole.size() - 1, whole.size() / 2, std::size_t{12}}) {
    const Status status = error_of(directory_.write("a.gz", std::string_view(whole).substr(0, length)));
    EXPECT_EQ(status.code(), StatusCode::corrupt_data) << length;
    EXPECT_THAT(status.message(), HasSubstr("a.gz' is a truncated gzip file")) << length;
  }
  std::string damaged = whole;
  damaged[whole.size() - 6] = static_cast<char>(~damaged[whole.size() - 6]);
  EXPECT_THAT(error_of(directory_.write("b.gz", damaged)).message(),
              HasSubstr("b.gz' is a damaged gzip file"));
}

TEST_F(CorpusTest, AGzipFileThatOnlyRepeatsItselfIsRefused) {
  // A hundred times what the limits look at, from a file of some hundred KB.
  std::string blank;
  const std::string member = gzip(directory_, std::string(16 << 20, '\n'));
  for (int i = 0; i < 20; ++i) blank += member;
  const auto begin = std::chrono::steady_clock::now();
  const Status status = error_of(directory_.write("a.gz", blank));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(status.code(), StatusCode::corrupt_data);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("a.gz' only repeats itself: "), HasSubstr(" come out of its first ")));
  EXPECT_LT(seconds, 20) << "all of it would take much longer";

  // As large, and text.
  std::string words;
  for (unsigned i = 0; words.size() < (20u << 20); ++i)
    words += std::to_string(i * 2654435761u) + (i % 50 == 0 ? "\n\n" : " ");
  EXPECT_TRUE(documents_of(directory_.write("b.gz", gzip(directory_, words))).ok());
}

TEST_F(CorpusTest, BadJsonLinesAreNamedByNumber) {
  const auto message = [&](std::string_view lines) {
    const Status status = error_of(directory_.write("a.jsonl", lines));
    EXPECT_EQ(status.code(), StatusCode::corrupt_data);
    EXPECT_THAT(status.message(),
                HasSubstr("expected one JSON object per line with a string under \"text\""));
    return status.message();
  };
  EXPECT_THAT(message("{\"text\":\"a\"}\n\n{\"body\":\"b\"}\n"),
              HasSubstr("a.jsonl' line 3: no key \"text\""));
  EXPECT_THAT(message("{\"text\":\"a\"}\n{\"text\":7}\n"), HasSubstr("line 2: \"text\" is a JSON number"));
  EXPECT_THAT(message("{\"text\":\"a\"}\n{\"text\":\n"), HasSubstr("line 2: not valid JSON"));
  EXPECT_THAT(message("[{\"text\":\"a\"}]\n"), HasSubstr("line 1: not a JSON object"));
}

}  // namespace
}  // namespace gradstab::lab
