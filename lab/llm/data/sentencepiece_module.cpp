// The inside of the module: the only file that sees SentencePiece.
#include "lab/llm/data/sentencepiece_module.hpp"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <utility>

namespace gradstab::lab {
namespace {

namespace sp = sentencepiece;

// SentencePiece writes "Internal: file.cc(1) [(a) <= (b)] text", where the text may be missing.
std::string message_of(const sp::util::Status& status, std::string_view without_text) {
  if (status.ok()) return {};
  std::string text = status.ToString();
  if (const std::size_t end = text.find("] "); end != std::string::npos) text.erase(0, end + 2);
  std::ranges::replace(text, '\n', ' ');
  return text.find_first_not_of(' ') == std::string::npos ? std::string(without_text) : text;
}

class SentenceIterator : public sp::SentenceIterator {
 public:
  explicit SentenceIterator(std::span<const std::string> sentences) : rest_(sentences) {}
  bool done() const override { return rest_.empty(); }
  void Next() override { rest_ = rest_.subspan(1); }
  const std::string& value() const override { return rest_.front(); }
  sp::util::Status status() const override { return {}; }

 private:
  std::span<const std::string> rest_;
};

class Model : public SentencePieceModel {
 public:
  std::string load(std::string_view serialized) {
    return message_of(processor_.LoadFromSerializedProto(serialized), "it cannot be parsed");
  }
  int size() const override { return processor_.GetPieceSize(); }
  int eos_id() const override { return processor_.eos_id(); }
  std::string text_of(int id) const override {
    const bool has_text = !processor_.IsControl(id) && !processor_.IsUnknown(id);
    return has_text ? processor_.IdToPiece(id) : std::string();
  }
  int byte_id(unsigned char value) const override {
    const int id = processor_.PieceToId(fmt::format("<0x{:02X}>", value));
    return processor_.IsByte(id) ? id : -1;
  }
  std::string encode(std::string_view text, std::vector<int>& ids) const override {
    return message_of(processor_.Encode(text, &ids), "encoding failed");
  }

 private:
  sp::SentencePieceProcessor processor_;
};

class Module : public SentencePieceModule {
 public:
  std::string train(const std::unordered_map<std::string, std::string>& settings,
                    std::span<const std::string> sentences, std::string& serialized) const override {
    SentenceIterator iterator(sentences);
    return message_of(sp::SentencePieceTrainer::Train(settings, &iterator, &serialized), "training failed");
  }
  std::unique_ptr<SentencePieceModel> load(std::string_view serialized, std::string& error) const override {
    auto model = std::make_unique<Model>();
    error = model->load(serialized);
    if (!error.empty()) return nullptr;
    return model;
  }
};

}  // namespace
}  // namespace gradstab::lab

extern "C" __attribute__((visibility("default"))) const gradstab::lab::SentencePieceModule*
gradstab_sentencepiece_module() {
  static const gradstab::lab::Module module;
  return &module;
}
