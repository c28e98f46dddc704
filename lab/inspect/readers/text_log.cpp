#include "lab/inspect/readers/text_log.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "lab/inspect/readers/joiner.hpp"
#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/text_dialects.hpp"

namespace gradstab::lab::inspect {
namespace {

/// Lines without what colours them: CSI sequences, ESC [ ... letter.
class Plain {
 public:
  std::string_view of(std::string_view line) {
    std::size_t escape = line.find('\x1b');
    if (escape == std::string_view::npos) return line;
    text_.clear();
    while (escape != std::string_view::npos) {
      text_ += line.substr(0, escape);
      line.remove_prefix(escape + 1);
      if (line.starts_with('[')) {
        std::size_t end = 1;
        while (end < line.size() && (line[end] < '@' || line[end] > '~')) ++end;
        line.remove_prefix(std::min(end + 1, line.size()));
      }
      escape = line.find('\x1b');
    }
    text_ += line;
    return text_;
  }

 private:
  std::string text_;
};

/// Steps that a log says in thousands from some place on are counted on, with as many from line to line as
/// there were before.
class StepCounter {
 public:
  std::optional<std::int64_t> next(const Named& step) {
    const auto whole = step_of(step.value);
    if (!whole) return std::nullopt;
    if (!step.rounded || !last_) {
      if (last_ && *whole > *last_) spacing_ = *whole - *last_;
      last_ = whole;
      return whole;
    }
    counted_ = true;
    if (spacing_ == 0) return std::nullopt;
    const auto counted = step_of(static_cast<double>(*last_) + static_cast<double>(spacing_));
    if (counted) last_ = counted;
    return counted;
  }
  /// Some were counted on.
  bool counted() const { return counted_; }
  std::int64_t spacing() const { return spacing_; }

 private:
  std::optional<std::int64_t> last_;
  std::int64_t spacing_ = 0;
  bool counted_ = false;
};

/// Readings out of the lines of one log.
class LogLines {
 public:
  LogLines(TraceFacts& facts, Beside beside) : facts_(facts), beside_(beside) {}

  /// What a line says; nothing where it has neither a norm nor, beside one, a loss.
  std::optional<Reading> reading_of(std::string_view line) {
    if (dialect_ == nullptr) {
      remember_step(line);
      dialect_ = dialect_of(line, lowered_, beside_);
      if (dialect_ == nullptr) return std::nullopt;
      facts_.format = dialect_->name;
      facts_.averaging = dialect_->averaging;
      facts_.clipping = dialect_->clipping;
    }
    if (dialect_->general) line = lowered_.of(line);
    Reading reading;
    if (!dialect_->step_before.empty()) {
      remember_step(line);
      reading.step = step_before_;
    }
    const auto norm = norm_in(line, *dialect_, names_);
    if (norm) reading.norm = norm->value;
    if (!norm && dialect_->step_before.empty()) return std::nullopt;
    if (const auto loss = loss_in(line, *dialect_, names_)) reading.loss = loss->value;
    if (!reading.norm && !reading.loss) return std::nullopt;
    if (dialect_->step_before.empty())
      if (const auto step = step_in(line, *dialect_, names_)) reading.step = counter_.next(*step);
    if (facts_.norm_name.empty()) facts_.norm_name = names_.norm;
    if (facts_.loss_name.empty()) facts_.loss_name = names_.loss;
    if (facts_.step_name.empty() && reading.step)
      facts_.step_name = dialect_->step_before.empty() ? names_.step : "step";
    return reading;
  }

  bool found_any() const { return dialect_ != nullptr; }

  /// Notes how steps were counted.
  void finish() {
    if (!counter_.counted()) return;
    facts_.notes.push_back(
        counter_.spacing() > 0
            ? fmt::format(
                  "Steps are logged in thousands from some place on; from there they were counted on, {} "
                  "from one line to the next as before.",
                  counter_.spacing())
            : std::string("Steps are logged in thousands; the lines were counted in their place."));
  }

 private:
  void remember_step(std::string_view line) {
    for (const Dialect& dialect : dialects()) {
      if (dialect.step_before.empty()) continue;
      const std::size_t at = line.find(dialect.step_before);
      if (at == std::string_view::npos) continue;
      const NumberAtFront number = number_at_front(line.substr(at + dialect.step_before.size()));
      if (number.bytes > 0) step_before_ = step_of(number.value);
    }
  }

  TraceFacts& facts_;
  Beside beside_;
  Lowered lowered_;
  const Dialect* dialect_ = nullptr;
  Names names_;
  StepCounter counter_;
  std::optional<std::int64_t> step_before_;
};

}  // namespace

bool looks_like_text_log(std::string_view front) {
  MemoryStream bytes(front);
  LineReader lines(bytes);
  Plain plain;
  Lowered lowered;
  while (const auto line = lines.next())
    if (dialect_of(plain.of(*line), lowered, Beside::nothing) != nullptr) return true;
  return false;
}

namespace {

/// The lines of a log that is known by a line with that beside its norm. False: it has no such line.
Result<bool> read_lines(const Source& source, Beside beside, TraceFacts& facts, TraceSink& sink) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  LineReader lines(**bytes);
  Plain plain;
  LogLines log(facts, beside);
  Joiner joiner(facts, sink);
  while (const auto raw = lines.next()) {
    const std::string_view line = plain.of(*raw);
    const auto reading = log.reading_of(line);
    if (!reading) continue;
    // A cut line may end within a number.
    if (!lines.ended() && !line.empty() && goes_on(line.back()) && joiner.records() > 0) {
      facts.notes.emplace_back("The last line is not ended, and was left out.");
      break;
    }
    if (!joiner.add(*reading)) return true;
  }
  GRADSTAB_RETURN_IF_ERROR(lines.status());
  joiner.finish();
  log.finish();
  return log.found_any();
}

}  // namespace

Status read_text_log(const Source& source, TraceFacts& facts, TraceSink& sink) {
  for (const Beside beside : {Beside::step_or_loss, Beside::nothing}) {
    const auto found = read_lines(source, beside, facts, sink);
    if (!found) return found.status();
    if (*found) return {};
  }
  return {StatusCode::corrupt_data,
          "no line has a gradient norm in a way that is known (such as \"step 3 ... grad_norm: 1.5\"); "
          "--pattern REGEX reads others"};
}

}  // namespace gradstab::lab::inspect
