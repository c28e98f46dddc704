// The token cache: a header, the training tokens, the validation tokens; written streaming, read by memory
// mapping.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "gradstab/status.hpp"
#include "lab/llm/data/token_view.hpp"
#include "lab/support/sha256.hpp"

namespace gradstab::lab {

/// Changes with the layout of the file; a file of any other version is refused.
inline constexpr std::uint32_t kTokenFileVersion = 2;

/// Vocabularies up to this size are stored in 16 bits a token, larger ones in 32.
inline constexpr std::uint64_t kMaxNarrowVocabSize = 65536;

/// The parts of a token file, in file order.
enum class CorpusPart { train, validation };

/// What one part holds.
struct PartCounts {
  std::uint64_t tokens = 0;  ///< with one end-of-document token per document
  std::uint64_t documents = 0;
  std::uint64_t text_bytes = 0;  ///< UTF-8 bytes of the documents

  bool operator==(const PartCounts&) const = default;
};

/// A token file mapped into memory, which several processes share.
class TokenFile {
 public:
  /// Maps `path`. io_error from the operating system; version_mismatch for another format version;
  /// corrupt_data for a foreign file, damage anywhere in it, or a length that does not fit the header's
  /// counts. All of the file is read, at some five gigabytes a second from the system's cache.
  static Result<TokenFile> open(const std::filesystem::path& path);

  TokenFile(TokenFile&&) noexcept;
  TokenFile& operator=(TokenFile&&) noexcept;
  ~TokenFile();

  /// The tokens of a part; valid as long as this object or what it was moved to.
  TokenView tokens(CorpusPart part) const noexcept;
  const PartCounts& counts(CorpusPart part) const noexcept;
  std::uint64_t vocab_size() const noexcept;
  /// fnv1a64 of the serialized tokenizer that made the tokens.
  std::uint64_t tokenizer_hash() const noexcept;
  /// SHA-256 of the tokens as they lie in the file, training part first: which data a run reads.
  const Sha256Digest& sha256() const noexcept;

 private:
  struct Mapping;
  explicit TokenFile(std::unique_ptr<Mapping> mapping);
  std::unique_ptr<Mapping> mapping_;
};

/// Writes a token file with bounded memory, under temporary names beside it until `commit`. Without a commit
/// nothing is left behind.
class TokenFileWriter {
 public:
  /// Starts a file for `path`. invalid_argument unless vocab_size is in [1, 2^32]; io_error from the
  /// operating system.
  static Result<TokenFileWriter> create(const std::filesystem::path& path, std::uint64_t vocab_size,
                                        std::uint64_t tokenizer_hash);

  TokenFileWriter(TokenFileWriter&&) noexcept;
  TokenFileWriter& operator=(TokenFileWriter&&) noexcept;
  ~TokenFileWriter();

  /// Appends one document of `text_bytes` bytes. invalid_argument for a token outside [0, vocab_size);
  /// io_error.
  Status append(CorpusPart part, std::span<const std::int32_t> tokens, std::uint64_t text_bytes);

  /// Syncs the file to disk and renames it over `path`. Call once, last.
  Status commit();

 private:
  struct State;
  explicit TokenFileWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gradstab::lab
