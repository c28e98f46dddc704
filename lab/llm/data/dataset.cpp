#include "lab/llm/data/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

#include "lab/support/hashing.hpp"
#include "lab/support/new_file.hpp"

namespace gradstab::lab {
namespace {

namespace fs = std::filesystem;

// Raise it when the same source and options would give other documents, another split or another tokenizer.
constexpr int kPreparationVersion = 1;

constexpr std::string_view kTokenizerFile = "tokenizer.model";
constexpr std::string_view kTokenFile = "tokens.bin";

// For choosing the size of the validation part before there is a tokenizer.
constexpr double kTypicalBytesPerBpeToken = 4.0;

constexpr std::uint64_t kMaxHash = std::numeric_limits<std::uint64_t>::max();

std::uint64_t document_hash(std::uint64_t index) {
  return mix64(index);
}

// What the first pass over a source learns.
struct SourceSummary {
  std::uint64_t documents = 0;
  std::uint64_t text_bytes = 0;
  std::uint64_t lowest_hash = kMaxHash;
  std::uint64_t highest_hash = 0;
};

Result<SourceSummary> scan(const CorpusSource& source, const FractionCallback& progress) {
  SourceSummary summary;
  const Status status = for_each_document(
      source,
      [&](std::string_view text) {
        const std::uint64_t hash = document_hash(summary.documents++);
        summary.text_bytes += text.size();
        summary.lowest_hash = std::min(summary.lowest_hash, hash);
        summary.highest_hash = std::max(summary.highest_hash, hash);
        return Status();
      },
      progress);
  if (!status.ok()) return status;
  if (summary.documents < 2) {
    return Status(
        StatusCode::invalid_argument,
        fmt::format("'{}' holds a single document, expected at least two so that one can be held out "
                    "for validation (blank lines separate documents)",
                    source.path.string()));
  }
  return summary;
}

// Documents whose hash is at most the limit are held out: the wanted share, and at least one on either side.
std::uint64_t validation_limit(const SourceSummary& summary, TokenizerKind tokenizer) {
  const double bytes_per_token = tokenizer == TokenizerKind::bytes ? 1.0 : kTypicalBytesPerBpeToken;
  const double tokens = static_cast<double>(summary.text_bytes) / bytes_per_token;
  const double share = std::clamp(static_cast<double>(kMinValidationTokens) / tokens, kValidationFraction,
                                  kMaxValidationFraction);
  const auto limit = static_cast<std::uint64_t>(share * static_cast<double>(kMaxHash));
  return std::clamp(limit, summary.lowest_hash, summary.highest_hash - 1);
}

// Every document of `source` with its part.
Status for_each_split_document(const CorpusSource& source, std::uint64_t limit,
                               const std::function<Status(CorpusPart, std::string_view)>& document,
                               const FractionCallback& progress) {
  std::uint64_t index = 0;
  return for_each_document(
      source,
      [&](std::string_view text) {
        const bool held_out = document_hash(index++) <= limit;
        return document(held_out ? CorpusPart::validation : CorpusPart::train, text);
      },
      progress);
}

Result<Tokenizer> train_tokenizer(const CorpusSource& source, const SourceSummary& summary,
                                  std::uint64_t limit, int vocab_size, const FractionCallback& progress) {
  const double share = static_cast<double>(kTokenizerSampleBytes) / static_cast<double>(summary.text_bytes);
  std::vector<std::string> sample;
  std::uint64_t seen = 0;
  std::uint64_t taken = 0;
  const Status status = for_each_split_document(
      source, limit,
      [&](CorpusPart part, std::string_view text) {
        seen += text.size();
        if (part == CorpusPart::validation) return Status();
        if (static_cast<double>(taken) < static_cast<double>(seen) * share) {
          taken += text.size();
          sample.emplace_back(text);
        }
        return Status();
      },
      progress);
  if (!status.ok()) return status;
  return Tokenizer::train_bpe(sample, vocab_size);
}

Status write_tokens(const CorpusSource& source, const Tokenizer& tokenizer, std::uint64_t limit,
                    const fs::path& path, const FractionCallback& progress) {
  Result<TokenFileWriter> writer = TokenFileWriter::create(
      path, static_cast<std::uint64_t>(tokenizer.vocab_size()), fnv1a64(tokenizer.serialized()));
  if (!writer) return writer.status();
  std::vector<std::int32_t> ids;
  const auto append = [&](CorpusPart part, std::string_view text) {
    ids.clear();
    if (Status status = tokenizer.encode_to(text, ids); !status.ok()) return status;
    ids.push_back(tokenizer.eos_id());
    return writer->append(part, ids, text.size());
  };
  GRADSTAB_RETURN_IF_ERROR(for_each_split_document(source, limit, append, progress));
  return writer->commit();
}

// Only complete entries open; the two files must belong together.
Result<Dataset> open_entry(const fs::path& entry, const CorpusSource& source, bool from_cache) {
  Result<Tokenizer> tokenizer = Tokenizer::load(entry / kTokenizerFile);
  if (!tokenizer) return tokenizer.status();
  Result<TokenFile> file = TokenFile::open(entry / kTokenFile);
  if (!file) return file.status();
  if (file->tokenizer_hash() != fnv1a64(tokenizer->serialized()) ||
      file->vocab_size() != static_cast<std::uint64_t>(tokenizer->vocab_size())) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("the tokenizer and the tokens in '{}' do not belong together", entry.string()));
  }
  return Dataset(source, std::move(*tokenizer), std::move(*file), from_cache);
}

Status make_entry(const fs::path& entry, const CorpusSource& source, const DatasetOptions& options,
                  const PrepareProgress& progress) {
  const auto stage_progress = [&](PrepareStage stage) -> FractionCallback {
    if (!progress) return {};
    progress(stage, 0.0);
    return [&progress, stage](double fraction) { progress(stage, fraction); };
  };
  std::error_code failure;
  fs::create_directories(entry, failure);
  if (failure) {
    return {StatusCode::io_error,
            fmt::format("cannot create the cache directory '{}': {}", entry.string(), failure.message())};
  }
  remove_abandoned_files(entry);

  const Result<SourceSummary> summary = scan(source, stage_progress(PrepareStage::scanning));
  if (!summary) return summary.status();
  const std::uint64_t limit = validation_limit(*summary, options.tokenizer);
  Tokenizer tokenizer = Tokenizer::bytes();
  if (options.tokenizer == TokenizerKind::bpe) {
    // Reading the sample is a small part of training, so the stage reports its beginning only.
    stage_progress(PrepareStage::training_tokenizer);
    Result<Tokenizer> trained = train_tokenizer(source, *summary, limit, options.vocab_size, {});
    if (!trained) return trained.status();
    tokenizer = std::move(*trained);
  }
  GRADSTAB_RETURN_IF_ERROR(tokenizer.save(entry / kTokenizerFile));
  return write_tokens(source, tokenizer, limit, entry / kTokenFile, stage_progress(PrepareStage::tokenizing));
}

const char* nonempty_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

std::string_view to_string(PrepareStage stage) noexcept {
  switch (stage) {
    case PrepareStage::scanning:
      return "scanning";
    case PrepareStage::training_tokenizer:
      return "training the tokenizer";
    case PrepareStage::tokenizing:
      return "tokenizing";
  }
  return "unknown";
}

Dataset::Dataset(CorpusSource source, Tokenizer tokenizer, TokenFile file, bool from_cache)
    : source_(std::move(source)),
      tokenizer_(std::move(tokenizer)),
      file_(std::move(file)),
      from_cache_(from_cache) {}

double Dataset::validation_bytes_per_token() const noexcept {
  const PartCounts& held_out = counts(CorpusPart::validation);
  return static_cast<double>(held_out.text_bytes) / static_cast<double>(held_out.tokens);
}

std::string Dataset::description() const {
  return fmt::format("{}, {} {}: {} training and {} validation tokens, {:.2f} bytes per token", source_.name,
                     to_string(tokenizer_.kind()), vocab_size(), counts(CorpusPart::train).tokens,
                     counts(CorpusPart::validation).tokens, validation_bytes_per_token());
}

Result<fs::path> default_cache_dir() {
  if (const char* own = nonempty_environment("GRADSTAB_CACHE")) return fs::path(own);
  if (const char* xdg = nonempty_environment("XDG_CACHE_HOME")) return fs::path(xdg) / "gradstab";
  if (const char* home = nonempty_environment("HOME")) return fs::path(home) / ".cache" / "gradstab";
  return Status(StatusCode::failed_precondition,
                "no cache directory: set GRADSTAB_CACHE, XDG_CACHE_HOME or HOME");
}

fs::path cache_entry(const fs::path& cache_dir, const CorpusSource& source, const DatasetOptions& options) {
  const int vocab_size = options.tokenizer == TokenizerKind::bpe ? options.vocab_size : 0;
  const std::string key =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", source.path.string(), source.file_bytes, source.modified,
                  to_string(source.format), to_string(options.tokenizer), vocab_size, kPreparationVersion,
                  kTokenFileVersion);
  return cache_dir / fmt::format("{}-{}-{:016x}", source.path.stem().string(), to_string(options.tokenizer),
                                 fnv1a64(key));
}

Result<Dataset> prepare_dataset(const DatasetOptions& options, const PrepareProgress& progress) {
  if (options.tokenizer == TokenizerKind::bpe) {
    if (Status status = check_bpe_vocab_size(options.vocab_size); !status.ok()) return status;
  }
  fs::path cache_dir = options.cache_dir;
  if (cache_dir.empty()) {
    Result<fs::path> found = default_cache_dir();
    if (!found) return found.status();
    cache_dir = std::move(*found);
  }
  Result<CorpusSource> source = resolve_source(options.source);
  if (!source) return source.status();
  const fs::path entry = cache_entry(cache_dir, *source, options);
  // Whatever is wrong with the entry, making it again is the remedy; what cannot be remedied fails again
  // below.
  if (Result<Dataset> cached = open_entry(entry, *source, /*from_cache=*/true)) return cached;
  if (Status status = make_entry(entry, *source, options, progress); !status.ok()) return status;
  return open_entry(entry, *source, /*from_cache=*/false);
}

}  // namespace gradstab::lab
