#include "lab/inspect/readers/recording.hpp"

#include <fmt/format.h>

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "gradstab/recording.hpp"
#include "gradstab/transform.hpp"
#include "lab/inspect/readers/joiner.hpp"
#include "lab/inspect/readers/log_number.hpp"

namespace gradstab::lab::inspect {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// What the columns of a recording are called.
constexpr std::string_view kGlobalNorm = "global norm";
constexpr std::string_view kLoss = "loss";
constexpr std::string_view kStep = "step";

/// What the file says of the run goes to the facts, its steps to the records.
class Recorded final : public RecordingSink {
 public:
  /// `tensor`: whose norm is asked for; empty: the global norm.
  Recorded(std::string tensor, TraceFacts& facts, TraceSink& sink)
      : facts_(facts), joiner_(facts, sink), tensor_(std::move(tensor)) {}

  void header(const RecordingHeader& header) override {
    // A recording that was gone on with says it anew, perhaps with other tensors.
    places_of_header_.clear();
    place_of_tensor_.reset();
    for (const RecordedTensor& tensor : header.tensors) {
      if (!tensor_.empty() && tensor.name == tensor_) place_of_tensor_ = places_of_header_.size();
      const auto [place, is_new] =
          places_.try_emplace(tensor.name, static_cast<std::uint32_t>(facts_.tensors.size()));
      if (is_new) facts_.tensors.push_back(tensor.name);
      places_of_header_.push_back(place->second);
    }
    const auto text = [&](std::string_view key, std::string& fact) {
      if (const std::string_view value = header.fact(key); !value.empty()) fact = value;
    };
    const auto number = [&](std::string_view key, std::optional<double>& fact) {
      if (const auto value = log_number(header.fact(key))) fact = *value;
    };
    text("optimizer", facts_.optimizer);
    text("transform", facts_.transform);
    text("clipping", facts_.clipping);
    number("beta2", facts_.beta2);
    number("clip", facts_.clip_at);
    text("parts", parts_);
    text("measured", measured_);
    if (tensors_.capacity() < header.tensors.size()) tensors_.reserve(header.tensors.size());
  }

  bool step(const RecordedStep& step) override {
    tensors_.clear();
    for (std::size_t i = 0; i < step.norms.size(); ++i)
      if (step.norms[i] != kNoGradient) tensors_.push_back({places_of_header_[i], step.norms[i]});
    if (step.loss) facts_.loss_name = kLoss;
    Reading reading;
    reading.step = step.step;
    if (tensor_.empty() && !tensors_.empty())
      reading.norm = step.global_norm;  // of no gradient at all there is no norm
    else if (place_of_tensor_ && step.norms[*place_of_tensor_] != kNoGradient)
      reading.norm = step.norms[*place_of_tensor_];
    reading.loss = step.loss;
    // Of a step that is there twice in a row the first counts.
    if (tensor_.empty() && (steps_ == 0 || step.step != last_step_)) reading.tensors = tensors_;
    last_step_ = step.step;
    ++steps_;
    return joiner_.add(reading);
  }

  void finish() {
    joiner_.finish();
    if (!parts_.empty()) {
      facts_.notes.push_back(
          fmt::format("The norms are those of one process's parts of the tensors ({}): those of the whole "
                      "tensors are larger.",
                      parts_));
    }
    if (!measured_.empty()) facts_.notes.push_back(fmt::format("The gradients were measured {}.", measured_));
  }
  std::int64_t steps() const { return steps_; }
  bool knows_tensor() const { return tensor_.empty() || places_.contains(tensor_); }

 private:
  TraceFacts& facts_;
  Joiner joiner_;
  std::unordered_map<std::string, std::uint32_t> places_;
  std::vector<std::uint32_t> places_of_header_;
  std::vector<TensorNorm> tensors_;
  std::string tensor_;
  std::optional<std::size_t> place_of_tensor_;  // in the last header
  std::string parts_;
  std::string measured_;
  std::int64_t last_step_ = 0;
  std::int64_t steps_ = 0;
};

/// Errors: another name than the only one that there is.
Status check_only(std::string_view option, std::string_view given, std::string_view name) {
  if (given.empty() || given == name) return {};
  return {StatusCode::invalid_argument,
          fmt::format("{} must be '{}' for a recording of norms, got '{}'", option, name, given)};
}

}  // namespace

bool looks_like_recording(std::string_view front) {
  return gradstab::looks_like_recording(as_bytes(front));
}

Status read_recording(const Source& source, const ColumnChoice& choice, TraceFacts& facts, TraceSink& sink) {
  GRADSTAB_RETURN_IF_ERROR(check_only("--loss", choice.loss, kLoss));
  GRADSTAB_RETURN_IF_ERROR(check_only("--step", choice.step, kStep));
  const std::string tensor = choice.norm == kGlobalNorm ? "" : choice.norm;
  auto bytes = source();
  if (!bytes) return bytes.status();
  facts.format = "recording of norms";
  facts.norm_name = tensor.empty() ? kGlobalNorm : tensor;
  facts.step_name = kStep;
  Recorded recorded(tensor, facts, sink);
  RecordingReader reader;
  constexpr std::size_t kPiece = std::size_t{1} << 18;
  std::vector<char> piece(kPiece);
  for (;;) {
    const auto count = (*bytes)->read(piece);
    if (!count) return count.status();
    if (*count == 0) break;
    const auto more = reader.feed(as_bytes({piece.data(), *count}), recorded);
    if (!more) return more.status();
    if (!*more) break;
  }
  recorded.finish();
  if (recorded.steps() == 0) return {StatusCode::corrupt_data, "holds a recording without a step yet"};
  if (!recorded.knows_tensor()) {
    return {StatusCode::invalid_argument,
            fmt::format("--norm must be '{}' or the name of a tensor in the recording, got '{}'", kGlobalNorm,
                        tensor)};
  }
  if (const std::int64_t places = reader.damaged_places(); places > 0) {
    facts.notes.push_back(fmt::format(
        "In {} the recording is damaged (CRC): what has a wrong checksum was left out, the rest was read.",
        places == 1 ? "one place" : fmt::format("{} places", places)));
  }
  if (const std::int64_t blocks = reader.unknown_blocks(); blocks > 0) {
    facts.notes.push_back(fmt::format("{} of a kind that this version does not know {} left out.",
                                      blocks == 1 ? "One block" : fmt::format("{} blocks", blocks),
                                      blocks == 1 ? "was" : "were"));
  }
  return {};
}

}  // namespace gradstab::lab::inspect
