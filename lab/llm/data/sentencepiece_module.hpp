// SentencePiece behind a module that is loaded at run time.
//
// Debian's libsentencepiece exports its own old copy of protobuf. In a program that also has LibTorch, and so
// the real libprotobuf, the two would call into each other and crash before main. The module is therefore
// loaded with a symbol scope of its own, and this header is all that the rest of the lab sees of it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// A loaded SentencePiece model. Const members may be called from several threads.
class SentencePieceModel {
 public:
  virtual ~SentencePieceModel() = default;
  virtual int size() const = 0;
  /// Negative when the model has none.
  virtual int eos_id() const = 0;
  /// The piece's spelling; empty for control pieces and `unknown`.
  virtual std::string text_of(int id) const = 0;
  /// The id of a byte-fallback piece, "<0x00>" to "<0xFF>"; negative when the model has none.
  virtual int byte_id(unsigned char value) const = 0;
  /// Replaces `ids` by those of `text`. Returns SentencePiece's message, empty for success.
  virtual std::string encode(std::string_view text, std::vector<int>& ids) const = 0;
};

/// What the module offers. Errors are SentencePiece's messages on one line without source positions.
class SentencePieceModule {
 public:
  virtual ~SentencePieceModule() = default;
  /// Trains on `sentences`. Returns the message, empty for success.
  virtual std::string train(const std::unordered_map<std::string, std::string>& settings,
                            std::span<const std::string> sentences, std::string& serialized) const = 0;
  /// The model, or null and a message in `error`.
  virtual std::unique_ptr<SentencePieceModel> load(std::string_view serialized, std::string& error) const = 0;
};

/// The name of the module's only exported function, a `SentencePieceEntryPoint`.
inline constexpr const char* kSentencePieceEntryPoint = "gradstab_sentencepiece_module";
using SentencePieceEntryPoint = const SentencePieceModule* (*)();

/// Loads the module once per process, from ../lib/gradstab beside the program or from the build tree.
/// failed_precondition when it cannot be loaded.
Result<const SentencePieceModule*> sentencepiece_module();

}  // namespace gradstab::lab
