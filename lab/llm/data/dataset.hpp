// From a text source to cached training and validation tokens in one call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/llm/data/corpus.hpp"
#include "lab/llm/data/token_file.hpp"
#include "lab/llm/data/tokenizer.hpp"

namespace gradstab::lab {

/// Share of the documents held out for validation; small sources hold out more (kMinValidationTokens).
inline constexpr double kValidationFraction = 0.01;

/// What the validation part of a small source aims at: 32 windows of 512 tokens.
inline constexpr std::uint64_t kMinValidationTokens = 32 * 512;

/// However small the source, no larger share of its documents is held out (but always one).
inline constexpr double kMaxValidationFraction = 0.1;

/// The tokenizer is trained on about this much text, evenly spaced over the training documents.
inline constexpr std::uint64_t kTokenizerSampleBytes = 8'000'000;

/// What to prepare.
struct DatasetOptions {
  std::string source{kGcideSource};  ///< `dict-gcide` or a path; see resolve_source
  TokenizerKind tokenizer = TokenizerKind::bpe;
  int vocab_size = 4096;            ///< of `bpe`; `bytes` always has 257
  std::filesystem::path cache_dir;  ///< empty: default_cache_dir()
};

/// What prepare_dataset is doing when nothing is cached, in order.
enum class PrepareStage { scanning, training_tokenizer, tokenizing };

/// "scanning", "training the tokenizer" or "tokenizing".
std::string_view to_string(PrepareStage stage) noexcept;

/// Called now and then with the share of the stage that is done, in [0, 1].
using PrepareProgress = std::function<void(PrepareStage stage, double fraction)>;

/// A tokenized source. Movable; views stay valid when it moves.
class Dataset {
 public:
  Dataset(CorpusSource source, Tokenizer tokenizer, TokenFile file, bool from_cache);

  const CorpusSource& source() const noexcept { return source_; }
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }
  int vocab_size() const noexcept { return tokenizer_.vocab_size(); }

  /// Documents in source order, each followed by the tokenizer's end-of-document token.
  TokenView train() const noexcept { return file_.tokens(CorpusPart::train); }
  /// Whole documents chosen by a hash of their number; none of them is in train().
  TokenView validation() const noexcept { return file_.tokens(CorpusPart::validation); }
  const PartCounts& counts(CorpusPart part) const noexcept { return file_.counts(part); }

  /// UTF-8 bytes of the validation documents per validation token (end-of-document tokens counted): a loss in
  /// nats per token divided by this is in nats per byte, which compares across tokenizers.
  double validation_bytes_per_token() const noexcept;

  /// One line: source, tokenizer, sizes.
  std::string description() const;

  /// Which tokens these are: 64 hexadecimal digits (TokenFile::sha256).
  std::string sha256() const { return to_hex(file_.sha256()); }

  /// True when nothing had to be made.
  bool from_cache() const noexcept { return from_cache_; }

 private:
  CorpusSource source_;
  Tokenizer tokenizer_;
  TokenFile file_;
  bool from_cache_;
};

/// $GRADSTAB_CACHE, else $XDG_CACHE_HOME/gradstab, else $HOME/.cache/gradstab. failed_precondition when none
/// is set.
Result<std::filesystem::path> default_cache_dir();

/// The directory below `cache_dir` where the dataset of `source` lives. Its name depends on the source's
/// path, size and time of change, on the tokenizer's settings and on the format versions.
std::filesystem::path cache_entry(const std::filesystem::path& cache_dir, const CorpusSource& source,
                                  const DatasetOptions& options);

/// Opens the cached dataset, or makes it: trains the tokenizer, tokenizes the source and writes both. A
/// damaged or outdated cache entry is made again. Several processes may prepare the same dataset at once.
/// Errors: those of resolve_source, for_each_document, Tokenizer::train_bpe and TokenFileWriter;
/// invalid_argument for a source with a single document, of which nothing can be held out.
Result<Dataset> prepare_dataset(const DatasetOptions& options, const PrepareProgress& progress = {});

}  // namespace gradstab::lab
