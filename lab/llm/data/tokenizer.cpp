#include "lab/llm/data/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "lab/llm/data/sentencepiece_module.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr int kByteValues = 256;
constexpr std::string_view kBytesModel = "gradstab byte tokenizer, version 1\n";
// SentencePiece's stand-in for a space, U+2581. A real one in the text is encoded as its bytes.
constexpr std::string_view kSpaceSymbol = "\xe2\x96\x81";
constexpr int kUnknownId = 0;
constexpr int kEosId = 1;

// SentencePiece drops longer training sentences; a document of the corpus is never that long.
constexpr std::size_t kMaxSentenceBytes = 1 << 20;

std::string with_spaces(std::string_view piece) {
  std::string text;
  for (;;) {
    const std::size_t symbol = piece.find(kSpaceSymbol);
    text += piece.substr(0, symbol);
    if (symbol == std::string_view::npos) return text;
    text += ' ';
    piece.remove_prefix(symbol + kSpaceSymbol.size());
  }
}

std::optional<int> number_after(std::string_view text, std::string_view marker) {
  const std::size_t start = text.find(marker);
  if (start == std::string_view::npos) return {};
  int number = 0;
  const char* first = text.data() + start + marker.size();
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

Status training_error(const std::string& text, int vocab_size) {
  std::string expected = text;
  if (const auto most = number_after(text, "value <= ")) {
    expected = fmt::format("too large for this text, expected at most {}", *most);
  } else if (const auto least = number_after(text, fmt::format("{} vs ", vocab_size))) {
    expected = fmt::format("too small for this text, expected at least {}", *least);
  }
  return {StatusCode::invalid_argument,
          fmt::format("cannot train a BPE tokenizer with vocab_size {}: {}", vocab_size, expected)};
}

}  // namespace

struct Tokenizer::Model {
  TokenizerKind kind = TokenizerKind::bytes;
  std::string serialized;
  int eos_id = kByteValues;
  std::vector<std::string> bytes_of;                  // what each id stands for
  std::array<std::int32_t, kByteValues> id_of{};      // the id of each byte
  std::unique_ptr<SentencePieceModel> sentencepiece;  // for bpe only
};

Tokenizer::Tokenizer(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

Tokenizer Tokenizer::bytes() {
  auto model = std::make_shared<Model>();
  model->serialized = kBytesModel;
  for (int value = 0; value < kByteValues; ++value) {
    model->bytes_of.emplace_back(1, static_cast<char>(value));
    model->id_of[static_cast<std::size_t>(value)] = value;
  }
  model->bytes_of.emplace_back();
  return Tokenizer(std::move(model));
}

Result<Tokenizer> Tokenizer::train_bpe(std::span<const std::string> documents, int vocab_size) {
  if (Status status = check_bpe_vocab_size(vocab_size); !status.ok()) return status;
  const auto usable = [](const std::string& text) {
    return !text.empty() && text.size() <= kMaxSentenceBytes;
  };
  if (std::ranges::none_of(documents, usable)) {
    return Status(StatusCode::invalid_argument, "cannot train a BPE tokenizer without text");
  }
  const Result<const SentencePieceModule*> module = sentencepiece_module();
  if (!module) return module.status();
  // Identity normalization and no added or removed spaces keep encoding lossless. One thread and no sampling
  // inside SentencePiece keep the model a function of the documents alone.
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size)},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"max_sentence_length", std::to_string(kMaxSentenceBytes)},
      {"input_sentence_size", "0"},
      {"num_threads", "1"},
      {"unk_id", std::to_string(kUnknownId)},
      {"eos_id", std::to_string(kEosId)},
      {"bos_id", "-1"},
      {"pad_id", "-1"},
      {"minloglevel", "3"},
  };
  std::string serialized;
  const std::string error = (*module)->train(settings, documents, serialized);
  if (!error.empty()) return training_error(error, vocab_size);
  return deserialize(serialized, "the trained tokenizer");
}

Result<Tokenizer> Tokenizer::deserialize(std::string_view serialized, std::string_view origin) {
  if (serialized == kBytesModel) return bytes();
  const auto corrupt = [&](std::string_view what) {
    return Status(StatusCode::corrupt_data, fmt::format("'{}' is not a tokenizer model: {}", origin, what));
  };
  if (serialized.empty()) return corrupt("it is empty");
  const Result<const SentencePieceModule*> module = sentencepiece_module();
  if (!module) return module.status();
  std::string error;
  auto model = std::make_shared<Model>();
  model->kind = TokenizerKind::bpe;
  model->serialized = serialized;
  model->sentencepiece = (*module)->load(serialized, error);
  if (model->sentencepiece == nullptr) return corrupt(error);
  const SentencePieceModel& pieces = *model->sentencepiece;
  model->eos_id = pieces.eos_id();
  if (model->eos_id < 0) return corrupt("it has no end-of-document token");
  for (int id = 0; id < pieces.size(); ++id) model->bytes_of.push_back(with_spaces(pieces.text_of(id)));
  for (std::size_t value = 0; value < model->id_of.size(); ++value) {
    const int id = pieces.byte_id(static_cast<unsigned char>(value));
    if (id < 0) return corrupt("it has no byte fallback");
    model->id_of[value] = id;
    model->bytes_of[static_cast<std::size_t>(id)] = std::string(1, static_cast<char>(value));
  }
  return Tokenizer(std::move(model));
}

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  Result<std::string> bytes = read_file(path, kTokenizerFile);
  if (!bytes) return bytes.status();
  return deserialize(*bytes, path.string());
}

Status Tokenizer::save(const std::filesystem::path& path) const {
  return write_file_atomically(path, model_->serialized);
}

const std::string& Tokenizer::serialized() const noexcept {
  return model_->serialized;
}
TokenizerKind Tokenizer::kind() const noexcept {
  return model_->kind;
}
int Tokenizer::vocab_size() const noexcept {
  return static_cast<int>(model_->bytes_of.size());
}
int Tokenizer::eos_id() const noexcept {
  return model_->eos_id;
}

Status Tokenizer::encode_to(std::string_view text, std::vector<std::int32_t>& ids) const {
  const auto add_bytes = [&](std::string_view bytes) {
    for (const char byte : bytes) ids.push_back(model_->id_of[static_cast<unsigned char>(byte)]);
  };
  if (model_->kind == TokenizerKind::bytes) {
    add_bytes(text);
    return {};
  }
  std::vector<int> part_ids;
  while (!text.empty()) {
    const std::size_t symbol = std::min(text.find(kSpaceSymbol), text.size());
    if (const std::string error = model_->sentencepiece->encode(text.substr(0, symbol), part_ids);
        !error.empty()) {
      return {StatusCode::invalid_argument, "cannot encode the text: " + error};
    }
    ids.insert(ids.end(), part_ids.begin(), part_ids.end());
    text.remove_prefix(symbol);
    if (!text.empty()) {
      add_bytes(kSpaceSymbol);
      text.remove_prefix(kSpaceSymbol.size());
    }
  }
  return {};
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  if (Status status = encode_to(text, ids); !status.ok()) return status;
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) {
      return Status(StatusCode::invalid_argument,
                    fmt::format("token id must be in [0, {}), got {}", vocab_size(), id));
    }
    text += model_->bytes_of[static_cast<std::size_t>(id)];
  }
  return text;
}

Status check_bpe_vocab_size(int vocab_size) {
  if (vocab_size >= kMinBpeVocabSize && vocab_size <= kMaxBpeVocabSize) return {};
  return {StatusCode::invalid_argument, fmt::format("vocab_size must be in [{}, {}], got {}",
                                                    kMinBpeVocabSize, kMaxBpeVocabSize, vocab_size)};
}

std::string_view to_string(TokenizerKind kind) noexcept {
  switch (kind) {
    case TokenizerKind::bpe:
      return "bpe";
    case TokenizerKind::bytes:
      return "bytes";
  }
  return "unknown";
}

std::optional<TokenizerKind> parse_tokenizer_kind(std::string_view name) noexcept {
  for (const TokenizerKind kind : {TokenizerKind::bpe, TokenizerKind::bytes}) {
    if (name == to_string(kind)) return kind;
  }
  return {};
}

}  // namespace gradstab::lab
