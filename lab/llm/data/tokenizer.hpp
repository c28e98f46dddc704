// Text to token ids and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// How text is divided into tokens.
enum class TokenizerKind {
  bpe,    ///< byte-pair encoding (SentencePiece) with byte fallback: every text has an encoding
  bytes,  ///< one token per byte; 256 byte values and the end-of-document token make 257
};

/// "bpe" or "bytes".
std::string_view to_string(TokenizerKind kind) noexcept;

/// The kind with that name; nothing for any other text.
std::optional<TokenizerKind> parse_tokenizer_kind(std::string_view name) noexcept;

/// Tokens of kind `bytes`: the byte values and end of document.
inline constexpr int kByteVocabSize = 257;

/// Limits of a BPE vocabulary, in tokens. The lower one holds 256 bytes, `unknown`, end of document and a few
/// characters; how many characters are needed depends on the text.
inline constexpr int kMinBpeVocabSize = 264;
inline constexpr int kMaxBpeVocabSize = 1 << 20;

/// ok, or invalid_argument when a BPE vocabulary cannot have that size whatever the text.
Status check_bpe_vocab_size(int vocab_size);

/// An immutable tokenizer. Encoding is lossless: decoding gives back the same bytes of any valid UTF-8 text.
/// Copies share the model; const members may be called from several threads.
class Tokenizer {
 public:
  /// The tokenizer of kind `bytes`.
  static Tokenizer bytes();

  /// Trains BPE on `documents` (UTF-8). The same documents give the same model, byte by byte.
  /// invalid_argument when `vocab_size` is outside its limits, or too small or too large for this text.
  static Result<Tokenizer> train_bpe(std::span<const std::string> documents, int vocab_size);

  /// Reads what `save` wrote. io_error, or corrupt_data when the file is no model of this program.
  static Result<Tokenizer> load(const std::filesystem::path& path);

  /// As `load`, from `serialized`; `origin` names it in messages.
  static Result<Tokenizer> deserialize(std::string_view serialized, std::string_view origin);

  /// Writes the model atomically. For `bpe` the file is a plain SentencePiece model.
  Status save(const std::filesystem::path& path) const;

  /// The bytes that `save` writes.
  const std::string& serialized() const noexcept;

  TokenizerKind kind() const noexcept;
  /// Ids are in [0, vocab_size).
  int vocab_size() const noexcept;
  /// The token that ends every document; no text encodes to it.
  int eos_id() const noexcept;

  /// Appends the ids of `text` to `ids`, without an end-of-document token. invalid_argument for text that
  /// SentencePiece refuses.
  Status encode_to(std::string_view text, std::vector<std::int32_t>& ids) const;

  /// The ids of `text`, without an end-of-document token.
  Result<std::vector<std::int32_t>> encode(std::string_view text) const;

  /// The bytes that `ids` stand for; `unknown` and end of document stand for none. Ids cut inside a character
  /// give cut UTF-8. invalid_argument for an id outside [0, vocab_size).
  Result<std::string> decode(std::span<const std::int32_t> ids) const;

 private:
  struct Model;
  explicit Tokenizer(std::shared_ptr<const Model> model);
  std::shared_ptr<const Model> model_;
};

}  // namespace gradstab::lab
