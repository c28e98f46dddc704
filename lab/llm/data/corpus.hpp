// Documents of a text source, streamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The source name that stands for the dictionary of Debian's package dict-gcide.
inline constexpr std::string_view kGcideSource = "dict-gcide";

/// Where Debian's package dict-gcide puts its text (gzip-compressed, 40 MB unpacked).
inline constexpr std::string_view kGcidePath = "/usr/share/dictd/gcide.dict.dz";

/// A plain-text document that grows to this many bytes ends there, at a line end where there is one.
inline constexpr std::size_t kMaxDocumentBytes = 32 * 1024;

/// A longer line of JSON is refused.
inline constexpr std::size_t kMaxJsonLineBytes = 64 * 1024 * 1024;

/// How a source is divided into documents.
enum class CorpusFormat {
  plain_text,  ///< separated by blank lines
  jsonl,       ///< one JSON object per line, the document under "text"
  gcide,       ///< one dictionary entry each; everything before the first entry is skipped
};

/// "plain_text", "jsonl" or "gcide".
std::string_view to_string(CorpusFormat format) noexcept;

/// A readable text source.
struct CorpusSource {
  std::string name;            ///< as the user gave it
  std::filesystem::path path;  ///< absolute
  CorpusFormat format = CorpusFormat::plain_text;
  std::uintmax_t file_bytes = 0;  ///< size on disk
  std::int64_t modified = 0;      ///< time of the last change, in the file clock's ticks
};

/// Finds `source`: `dict-gcide`, or a path to plain text or JSON lines, either one also gzip-compressed. A
/// name ending in .jsonl, .ndjson or .json (before an optional .gz) means JSON lines. `gcide_path` is there
/// for tests. io_error when the file is missing, is not a regular file or is empty.
Result<CorpusSource> resolve_source(std::string_view source,
                                    const std::filesystem::path& gcide_path = kGcidePath);

/// Receives one document: valid UTF-8, never empty, lines separated by '\n', no blank line at either end. An
/// error ends the reading. The view is valid during the call.
using DocumentCallback = std::function<Status(std::string_view text)>;

/// Receives the share of the file read so far, in [0, 1].
using FractionCallback = std::function<void(double fraction)>;

/// Calls `document` for every document in file order, holding one at a time. Invalid UTF-8 is repaired by
/// `append_valid_utf8`. corrupt_data for data that is not text, a truncated gzip stream, a JSON line without
/// a string under "text" (the message has the line's number), or no document at all; else the error of
/// `document`.
Status for_each_document(const CorpusSource& source, const DocumentCallback& document,
                         const FractionCallback& progress = {});

}  // namespace gradstab::lab
