#include "lab/llm/data/corpus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "lab/llm/data/text_reader.hpp"
#include "lab/support/json.hpp"
#include "lab/support/utf8.hpp"

namespace gradstab::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhitespace = " \t\r\f\v";
constexpr std::uint64_t kLinesPerProgressCall = 1 << 14;

// Repairing UTF-8 makes three bytes of one at most.
constexpr std::size_t kMostRepairedBytes = 3 * kMaxJsonLineBytes;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kWhitespace) == std::string_view::npos;
}

CorpusFormat format_of(fs::path path) {
  if (path.extension() == ".gz") path = path.stem();
  constexpr std::array<std::string_view, 3> kJsonLines = {".jsonl", ".ndjson", ".json"};
  const bool json = std::ranges::find(kJsonLines, path.extension().string()) != kJsonLines.end();
  return json ? CorpusFormat::jsonl : CorpusFormat::plain_text;
}

// Collects lines into one document and hands it out without blank lines around it.
class DocumentBuilder {
 public:
  explicit DocumentBuilder(const DocumentCallback& callback) : callback_(callback) {}

  std::size_t bytes() const { return text_.size(); }
  std::uint64_t documents() const { return documents_; }

  void add(const TextLine& line) {
    append_valid_utf8(line.bytes, text_);
    if (line.complete) text_ += '\n';
  }

  Status flush() {
    const std::string_view text = trimmed();
    Status status;
    if (!text.empty()) {
      ++documents_;
      status = callback_(text);
    }
    text_.clear();
    return status;
  }

 private:
  std::string_view trimmed() const {
    std::string_view text = text_;
    for (;;) {
      const std::size_t end = text.find('\n');
      if (!is_blank(text.substr(0, end))) break;
      if (end == std::string_view::npos) return {};
      text.remove_prefix(end + 1);
    }
    const std::size_t last = text.find_last_not_of(" \t\r\f\v\n");
    return text.substr(0, last + 1);
  }

  const DocumentCallback& callback_;
  std::string text_;
  std::uint64_t documents_ = 0;
};

// One policy per format: `line` sees every line in order, `end` the end of the file.

class PlainTextSplitter {
 public:
  explicit PlainTextSplitter(DocumentBuilder& builder) : builder_(builder) {}

  Status line(const TextLine& line) {
    if (line.complete && is_blank(line.bytes)) return builder_.flush();
    if (builder_.bytes() + line.bytes.size() > kMaxDocumentBytes) GRADSTAB_RETURN_IF_ERROR(builder_.flush());
    builder_.add(line);
    return {};
  }

 private:
  DocumentBuilder& builder_;
};

// An entry starts with a line like `Abide \A*bide"\ v. t.` in the first column after a blank line. The first
// one ends the header, which has no backslash, and follows it without a blank line.
class GcideSplitter {
 public:
  explicit GcideSplitter(DocumentBuilder& builder) : builder_(builder) {}

  Status line(const TextLine& line) {
    const bool headword = !line.bytes.empty() && !is_blank(line.bytes.substr(0, 1)) &&
                          line.bytes.find('\\') != std::string_view::npos;
    if (headword && (in_header_ || after_blank_)) {
      in_header_ = false;
      GRADSTAB_RETURN_IF_ERROR(builder_.flush());
    }
    after_blank_ = is_blank(line.bytes);
    if (!in_header_) builder_.add(line);
    return {};
  }

 private:
  DocumentBuilder& builder_;
  bool in_header_ = true;
  bool after_blank_ = false;
};

class JsonLinesSplitter {
 public:
  JsonLinesSplitter(const CorpusSource& source, DocumentBuilder& builder)
      : source_(source), builder_(builder) {}

  Status line(const TextLine& line) {
    if (!line.complete) {
      return error(line, fmt::format("longer than {} MiB", kMaxJsonLineBytes >> 20));
    }
    if (is_blank(line.bytes)) return {};
    if (line.bytes[line.bytes.find_first_not_of(kWhitespace)] != '{') {
      return error(line, "not a JSON object");
    }
    json_.clear();
    append_valid_utf8(line.bytes, json_);
    const auto object = parse_json_object(json_, "", kMostRepairedBytes);
    if (!object) return error(line, "not valid JSON: " + object.status().message());
    const auto text = object->find("text");
    if (text == object->end()) return error(line, "no key \"text\"");
    const auto document = as_text(*text);
    if (!document) return error(line, fmt::format("\"text\" is a JSON {}", text->type_name()));
    builder_.add({*document, line.number, true});
    return builder_.flush();
  }

 private:
  Status error(const TextLine& line, std::string_view what) const {
    return {StatusCode::corrupt_data,
            fmt::format("'{}' line {}: {}; expected one JSON object per line with a string under \"text\"",
                        source_.path.string(), line.number, what)};
  }

  const CorpusSource& source_;
  DocumentBuilder& builder_;
  std::string json_;
};

template <class Splitter>
Status split(TextReader& reader, Splitter splitter, DocumentBuilder& builder,
             const FractionCallback& progress) {
  std::uint64_t lines = 0;
  for (TextLine line; reader.next(line);) {
    GRADSTAB_RETURN_IF_ERROR(splitter.line(line));
    if (progress && ++lines % kLinesPerProgressCall == 0) progress(reader.fraction());
  }
  GRADSTAB_RETURN_IF_ERROR(reader.status());
  return builder.flush();
}

}  // namespace

std::string_view to_string(CorpusFormat format) noexcept {
  switch (format) {
    case CorpusFormat::plain_text:
      return "plain_text";
    case CorpusFormat::jsonl:
      return "jsonl";
    case CorpusFormat::gcide:
      return "gcide";
  }
  return "unknown";
}

Result<CorpusSource> resolve_source(std::string_view source, const fs::path& gcide_path) {
  CorpusSource found;
  found.name = source;
  const bool gcide = source == kGcideSource;
  found.path = gcide ? gcide_path : fs::path(source);
  found.format = gcide ? CorpusFormat::gcide : format_of(found.path);
  if (source.empty()) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("the data source is empty, expected '{}' or the path of a text or JSONL file",
                              kGcideSource));
  }
  const auto refuse = [&](std::string_view what) {
    return Status(StatusCode::io_error, fmt::format("'{}' {}", found.path.string(), what));
  };
  std::error_code failure;
  const fs::file_status info = fs::status(found.path, failure);
  if (info.type() == fs::file_type::not_found) {
    return gcide ? refuse(
                       "is missing; install the Debian package dict-gcide or pass your own text with "
                       "--data FILE")
                 : refuse(fmt::format("does not exist, expected '{}' or the path of a text or JSONL file",
                                      kGcideSource));
  }
  if (info.type() == fs::file_type::directory) return refuse("is a directory, expected a text or JSONL file");
  if (failure) return refuse(fmt::format("cannot be read: {}", failure.message()));
  if (info.type() != fs::file_type::regular) return refuse("is not a regular file");
  found.file_bytes = fs::file_size(found.path, failure);
  if (!failure) found.modified = fs::last_write_time(found.path, failure).time_since_epoch().count();
  if (!failure) found.path = fs::canonical(found.path, failure);
  if (failure) return refuse(fmt::format("cannot be read: {}", failure.message()));
  if (found.file_bytes == 0) return refuse("is empty, expected text");
  return found;
}

Status for_each_document(const CorpusSource& source, const DocumentCallback& document,
                         const FractionCallback& progress) {
  const bool json = source.format == CorpusFormat::jsonl;
  Result<TextReader> reader = TextReader::open(source.path, json ? kMaxJsonLineBytes : kMaxDocumentBytes);
  if (!reader) return reader.status();
  DocumentBuilder builder(document);
  switch (source.format) {
    case CorpusFormat::plain_text:
      GRADSTAB_RETURN_IF_ERROR(split(*reader, PlainTextSplitter(builder), builder, progress));
      break;
    case CorpusFormat::jsonl:
      GRADSTAB_RETURN_IF_ERROR(split(*reader, JsonLinesSplitter(source, builder), builder, progress));
      break;
    case CorpusFormat::gcide:
      GRADSTAB_RETURN_IF_ERROR(split(*reader, GcideSplitter(builder), builder, progress));
      break;
  }
  if (builder.documents() == 0) {
    return {StatusCode::corrupt_data,
            fmt::format("'{}' holds no text ({})", source.path.string(), to_string(source.format))};
  }
  return {};
}

}  // namespace gradstab::lab
