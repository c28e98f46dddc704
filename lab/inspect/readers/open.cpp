#include "lab/inspect/readers/open.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <system_error>
#include <utility>

#include "lab/inspect/readers/csv.hpp"
#include "lab/inspect/readers/event_files.hpp"
#include "lab/inspect/readers/json_rows.hpp"
#include "lab/inspect/readers/notebook.hpp"
#include "lab/inspect/readers/recording.hpp"
#include "lab/inspect/readers/rows.hpp"
#include "lab/inspect/readers/run_facts.hpp"
#include "lab/inspect/readers/source.hpp"
#include "lab/inspect/readers/text_log.hpp"
#include "lab/inspect/readers/wandb.hpp"
#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"

namespace gradstab::lab::inspect {
namespace {

namespace fs = std::filesystem;

/// Of a file, by which its kind is told.
constexpr std::size_t kFrontBytes = std::size_t{1} << 18;
/// A packed log is unpacked in memory.
constexpr FileKind kPackedLog{"a packed log", 256 * kMiB};
constexpr std::uintmax_t kMostUnpacked = kGiB;
/// Folders inside of folders that are looked into for runs.
constexpr int kDeepestFolder = 3;
constexpr std::size_t kMostRuns = 10'000;
/// By which recordings of norms are found in a folder.
constexpr std::string_view kRecordingEnding = ".gsnorms";

Status unknown(std::string message) {
  return {StatusCode::corrupt_data, std::move(message)};
}

Source source_of_file(const fs::path& path) {
  return [path]() -> Result<std::unique_ptr<ByteStream>> {
    auto file = open_file(path);
    if (!file) return file.status();
    return std::unique_ptr<ByteStream>(std::make_unique<FileStream>(*std::move(file), path));
  };
}

/// Up to `most` bytes of the front of a log.
Result<std::string> front_of(const Source& source, std::size_t most = kFrontBytes) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  std::string front(most, '\0');
  std::size_t filled = 0;
  while (filled < most) {
    const auto count = (*bytes)->read(std::span(front).subspan(filled));
    if (!count) return count.status();
    if (*count == 0) break;
    filled += *count;
  }
  front.resize(filled);
  return front;
}

using Read = std::function<Status(TraceFacts&, TraceSink&)>;

/// What reads rows of that format. `meaning` sees each text before the records do.
template <class Rows>
Read reader_of_rows(std::string format, Rows rows, ColumnChoice choice, bool null_is_nan = false) {
  return [format = std::move(format), rows = std::move(rows), choice = std::move(choice), null_is_nan](
             TraceFacts& facts, TraceSink& sink) {
    facts.format = format;
    return read_rows(rows, choice, facts, sink, null_is_nan);
  };
}

/// Passes rows on, and reads what a tag of Hugging Face's Trainer says of the run.
class WithArguments : public RowSink {
 public:
  WithArguments(TraceFacts& facts, RowSink& sink) : facts_(facts), sink_(sink) {}
  void number(std::string_view name, double value) override { sink_.number(name, value); }
  void text(std::string_view name, std::string_view value) override {
    if (name == "args/text_summary") add_facts_of_arguments(value, facts_);
    sink_.text(name, value);
  }
  bool end_row() override { return sink_.end_row(); }

 private:
  TraceFacts& facts_;
  RowSink& sink_;
};

Read reader_of_events(std::vector<EventFile> files, const ColumnChoice& choice) {
  std::string format =
      files.size() > 1 ? fmt::format("TensorBoard, {} event files", files.size()) : "TensorBoard event file";
  return reader_of_rows(
      std::move(format),
      [files = std::move(files)](TraceFacts& facts, RowSink& sink) {
        WithArguments with(facts, sink);
        return event_rows(files, facts, with);
      },
      choice);
}

bool is_utf16(std::string_view front) {
  return front.starts_with("\xff\xfe") || front.starts_with("\xfe\xff");
}

/// What a file is that holds a log at best, by its first bytes; empty for anything else.
std::string_view container(std::string_view front) {
  constexpr std::size_t kTar = 257;
  if (front.size() > kTar && front.substr(kTar).starts_with("ustar")) return "a tar archive";
  struct Kind {
    std::string_view front, name;
  };
  constexpr Kind kKinds[] = {{"PK\x03\x04", "a zip archive"},
                             {"\x28\xb5\x2f\xfd", "packed with zstd"},
                             {"\xfd"
                              "7zXZ",
                              "packed with xz"},
                             {"BZh", "packed with bzip2"},
                             {"7z\xbc\xaf", "a 7z archive"},
                             {"PAR1", "a Parquet file"},
                             {"\x89HDF", "an HDF5 file"},
                             {"SQLite format 3", "an SQLite database"}};
  for (const Kind& kind : kKinds)
    if (front.starts_with(kind.front)) return kind.name;
  return {};
}

/// The first line of a text; all of it where it has one line alone.
std::string_view first_line(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  return text.substr(0, text.find_first_of("\r\n"));
}

/// Whether a text is one JSON document and not a line after the other.
bool is_json_document(std::string_view line, std::string_view text) {
  if (line.front() == '{') {
    const std::string_view inside = line.substr(1);
    return inside.find_first_not_of(" \t\r") == std::string_view::npos ||
           text.find("\"log_history\"") != std::string_view::npos;
  }
  if (line.front() != '[') return false;
  const std::size_t next = text.find_first_not_of(" \t\r\n", text.find('[') + 1);
  return next == std::string_view::npos || text[next] == '{' || text[next] == '[';
}

/// Takes nothing: for whether a line is JSON.
class Nothing : public RowSink {
 public:
  void number(std::string_view, double) override {}
  void text(std::string_view, std::string_view) override {}
  bool end_row() override { return true; }
};

/// What reads the output of a notebook like any other text.
Read reader_of_notebook(const Source& source, const std::string& pattern) {
  return [source, pattern](TraceFacts& facts, TraceSink& sink) -> Status {
    const auto output = output_of_notebook(source);
    if (!output) return output.status();
    const Source text = source_of(*output);
    const Status read =
        pattern.empty() ? read_text_log(text, facts, sink) : read_pattern_log(text, pattern, facts, sink);
    facts.format = fmt::format("output of a Jupyter notebook, {}", facts.format);
    if (read.ok()) return read;
    return {read.code(), fmt::format("of what the cells of the notebook printed, {}", read.message())};
  };
}

/// A text without its byte order mark.
std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

/// What reads a log that begins with `front`, told by that.
Result<Read> reader_of(const Source& source, std::string_view front, const std::string& file_name,
                       const ReadOptions& options) {
  const ColumnChoice& choice = options.columns;
  if (front.empty()) return unknown("is empty");
  const std::string_view text = without_mark(front);
  if (looks_like_notebook(text)) return reader_of_notebook(source, options.pattern);
  if (!options.pattern.empty()) {
    GRADSTAB_RETURN_IF_ERROR(check_pattern(options.pattern));
    return Read([source, pattern = options.pattern](TraceFacts& facts, TraceSink& sink) {
      return read_pattern_log(source, pattern, facts, sink);
    });
  }
  if (looks_like_recording(front)) {
    return Read([source, choice](TraceFacts& facts, TraceSink& sink) {
      return read_recording(source, choice, facts, sink);
    });
  }
  if (looks_like_wandb(front)) {
    return reader_of_rows(
        "W&B run file",
        [source](TraceFacts& facts, RowSink& sink) { return wandb_rows(source, facts, sink); }, choice);
  }
  if (looks_like_event_file(front)) return reader_of_events({{file_name, source}}, choice);
  if (is_utf16(front)) return unknown("is text in UTF-16, expected UTF-8");
  if (const std::string_view kind = container(front); !kind.empty())
    return unknown(fmt::format("is {}, expected the log itself: take it out of there first", kind));
  if (front.find('\0') != std::string_view::npos)
    return unknown(
        "holds bytes of a kind that is not known: neither text, nor an event file, nor a W&B run file, "
        "nor a recording of norms");
  const std::string_view line = first_line(text);
  if (line.empty()) return unknown("holds nothing but blanks");
  if (is_json_document(line, text)) {
    const bool state = line.front() == '{';
    Read rows = reader_of_rows(
        state ? "trainer_state.json" : "JSON list",
        [source](TraceFacts& facts, RowSink& sink) { return json_document_rows(source, facts, sink); },
        choice);
    if (!state) return rows;
    return Read([rows = std::move(rows)](TraceFacts& facts, TraceSink& sink) {
      facts.clipping = "before clipping, as Hugging Face's Trainer logs it";
      facts.notes.emplace_back(
          "A loss is the mean since the record before, and the Trainer leaves NaN losses out of it by "
          "default.");
      return rows(facts, sink);
    });
  }
  Nothing nothing;
  if (line.front() == '{' && (json_values(line, nothing) || !looks_like_text_log(front))) {
    return reader_of_rows(
        "JSON lines",
        [source](TraceFacts& facts, RowSink& sink) { return json_line_rows(source, facts, sink); }, choice);
  }
  if (!looks_like_text_log(front) && looks_like_csv(text)) {
    return reader_of_rows(
        "CSV", [source](TraceFacts& facts, RowSink& sink) { return csv_rows(source, facts, sink); }, choice);
  }
  return Read([source](TraceFacts& facts, TraceSink& sink) { return read_text_log(source, facts, sink); });
}

/// Of a log in bytes that are kept with it.
Result<Trace> packed_trace(const fs::path& path, const ReadOptions& options) {
  auto packed = read_file(path, kPackedLog);
  if (!packed) return packed.status();
  auto content = unpacked(*std::move(packed), kMostUnpacked);
  if (!content) return content.status();
  const auto kept = std::make_shared<const std::string>(*std::move(content));
  const Source source = [kept] { return source_of(*kept)(); };
  auto read =
      reader_of(source, std::string_view(*kept).substr(0, kFrontBytes), path.filename().string(), options);
  if (!read) return read.status();
  return Trace{path.string(), *std::move(read)};
}

Result<Trace> trace_of_file(const fs::path& path, const ReadOptions& options) {
  constexpr std::string_view kGzip = "\x1f\x8b";
  const Source source = source_of_file(path);
  const auto front = front_of(source);
  if (!front) return front.status();
  if (front->starts_with(kGzip)) return packed_trace(path, options);
  auto read = reader_of(source, *front, path.filename().string(), options);
  if (!read) return read.status();
  return Trace{path.string(), *std::move(read)};
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// The run of this program in a folder.
Trace trace_of_run(const fs::path& directory, const ColumnChoice& choice) {
  const Source source = source_of_file(directory / "metrics.jsonl");
  Read rows = reader_of_rows(
      "run of gradstab",
      [source](TraceFacts& facts, RowSink& sink) { return json_line_rows(source, facts, sink); }, choice,
      true);
  return {directory.string(), [rows = std::move(rows), directory](TraceFacts& facts, TraceSink& sink) {
            add_facts_of_run(directory, facts);
            return rows(facts, sink);
          }};
}

/// The files and the folders in a folder, by name.
struct Listing {
  std::vector<fs::path> files, folders;
};

Listing listing_of(const fs::path& directory) {
  Listing listing;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored))
      listing.folders.push_back(entry->path());
    else if (entry->is_regular_file(ignored))
      listing.files.push_back(entry->path());
  }
  std::ranges::sort(listing.files);
  std::ranges::sort(listing.folders);
  return listing;
}

/// Logs that are known by their names in a folder. A folder has the run of the first kind that it has.
struct NamedLogs {
  bool (*is_one)(const fs::path& file);
  /// What several files of this kind in a folder are: the first that reads counts, each is a run, or all
  /// together are one.
  enum class Several { first, each, together } several;
};
constexpr std::array<NamedLogs, 5> kNamedLogs = {{
    // Who has recorded norms, of each tensor, wants those.
    {[](const fs::path& file) { return file.extension() == kRecordingEnding; }, NamedLogs::Several::each},
    {[](const fs::path& file) { return file.filename() == "trainer_state.json"; }, NamedLogs::Several::first},
    {[](const fs::path& file) { return file.filename() == "metrics.csv"; }, NamedLogs::Several::first},
    {[](const fs::path& file) {
       const std::string name = file.filename().string();
       return name.find("tfevents") != std::string::npos && !name.ends_with(".profile-empty");
     },
     NamedLogs::Several::together},
    {[](const fs::path& file) { return file.extension() == ".wandb"; }, NamedLogs::Several::first},
}};

/// Adds the runs in a folder: its own, or those of the folders in it.
void add_runs_in(const fs::path& directory, const ReadOptions& options, int depth,
                 std::vector<Trace>& traces) {
  if (traces.size() >= kMostRuns) return;
  if (is_there(directory / "run.json") && is_there(directory / "metrics.jsonl")) {
    traces.push_back(trace_of_run(directory, options.columns));
    return;
  }
  const Listing listing = listing_of(directory);
  const std::size_t before = traces.size();
  for (const NamedLogs& kind : kNamedLogs) {
    if (traces.size() > before) break;
    std::vector<EventFile> together;
    for (const fs::path& file : listing.files) {
      if (!kind.is_one(file)) continue;
      if (kind.several == NamedLogs::Several::first && traces.size() > before) break;
      if (kind.several == NamedLogs::Several::together) {
        together.push_back({file.filename().string(), source_of_file(file)});
      } else if (auto trace = trace_of_file(file, options)) {
        traces.push_back(*std::move(trace));
      }
    }
    if (!together.empty())
      traces.push_back({directory.string(), reader_of_events(std::move(together), options.columns)});
  }
  if (traces.size() > before || depth == 0) return;
  for (const fs::path& folder : listing.folders) add_runs_in(folder, options, depth - 1, traces);
}

Status in_file(const std::string& path, const Status& status) {
  if (status.ok() || status.message().find(fmt::format("'{}'", path)) != std::string::npos) return status;
  // "is empty" and "has ..." go on from the name; anything else stands behind a colon.
  const bool goes_on = status.message().starts_with("is ") || status.message().starts_with("holds ");
  return {status.code(), fmt::format("'{}'{} {}", path, goes_on ? "" : ":", status.message())};
}

Trace named(Trace trace) {
  trace.read = [read = std::move(trace.read), name = trace.name](TraceFacts& facts, TraceSink& sink) {
    return in_file(name, read(facts, sink));
  };
  return trace;
}

}  // namespace

Result<std::vector<Trace>> open_traces(const fs::path& path, const ReadOptions& options) {
  if (!options.pattern.empty()) GRADSTAB_RETURN_IF_ERROR(check_pattern(options.pattern));
  std::error_code ignored;
  std::vector<Trace> traces;
  if (fs::is_directory(path, ignored)) {
    add_runs_in(path, options, kDeepestFolder, traces);
    if (traces.empty()) {
      return Status(
          StatusCode::corrupt_data,
          fmt::format("'{}' holds no log that is known by its name: no run of gradstab, .gsnorms file, "
                      "event files, trainer_state.json, metrics.csv or .wandb file; name the log itself",
                      path.string()));
    }
  } else if (path.filename() == "metrics.jsonl" && is_there(path.parent_path() / "run.json")) {
    traces.push_back(trace_of_run(path.parent_path(), options.columns));
  } else {
    auto trace = trace_of_file(path, options);
    if (!trace) return in_file(path.string(), trace.status());
    traces.push_back(*std::move(trace));
  }
  for (Trace& trace : traces) trace = named(std::move(trace));
  return traces;
}

std::vector<fs::path> logs_named_in(const fs::path& folder) {
  std::vector<fs::path> logs = listing_of(folder).files;
  std::erase_if(logs, [](const fs::path& file) {
    return std::ranges::none_of(kNamedLogs, [&](const NamedLogs& kind) { return kind.is_one(file); });
  });
  return logs;
}

Result<Trace> trace_of_bytes(std::string_view bytes, const std::string& name, const ReadOptions& options) {
  auto read = reader_of(source_of(bytes), bytes.substr(0, kFrontBytes), name, options);
  if (!read) return in_file(name, read.status());
  return named({name, *std::move(read)});
}

}  // namespace gradstab::lab::inspect
