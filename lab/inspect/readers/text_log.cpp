#include "lab/inspect/readers/text_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "lab/inspect/readers/joiner.hpp"
#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/rows.hpp"

namespace gradstab::lab::inspect {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool goes_on(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '/' ||
         c == '.' || c == '-';
}

/// Whether a number must be set off by ':' or '=', or may follow blanks alone.
enum class Separator { needed, or_blanks };

/// The number behind `name`, where `name` is a word by itself: "grad_norm: 1.5", "gnorm=1.5",
/// "'grad_norm': 1.5", "step     3".
std::optional<double> value_of(std::string_view line, std::string_view name, Separator separator) {
  for (std::size_t at = line.find(name); at != std::string_view::npos; at = line.find(name, at + 1)) {
    if (at > 0 && goes_on(line[at - 1])) continue;
    std::size_t behind = at + name.size();
    if (behind < line.size() && (line[behind] == '"' || line[behind] == '\'')) ++behind;
    const std::size_t blanks = behind;
    while (behind < line.size() && is_blank(line[behind])) ++behind;
    const bool separated = behind < line.size() && (line[behind] == ':' || line[behind] == '=');
    if (separated)
      ++behind;
    else if (separator == Separator::needed || behind == blanks)
      continue;
    const NumberAtFront number = number_at_front(line.substr(behind));
    if (number.bytes == 0) continue;
    const std::size_t end = behind + number.bytes;
    // lerobot counts in thousands: "step:7K".
    if (end < line.size() && separator == Separator::or_blanks && (line[end] == 'K' || line[end] == 'M'))
      return number.value * (line[end] == 'K' ? 1e3 : 1e6);
    return number.value;
  }
  return std::nullopt;
}

std::optional<double> value_of(std::string_view line, std::span<const std::string_view> names,
                               Separator separator) {
  for (const std::string_view name : names)
    if (const auto value = value_of(line, name, separator)) return value;
  return std::nullopt;
}

/// The numbers in the first brackets of a line: "[1][ 50/151]" are 1, 50 and 151.
std::vector<std::int64_t> numbers_in_brackets(std::string_view text) {
  std::vector<std::int64_t> numbers;
  std::size_t at = text.find('[');
  while (at < text.size() && numbers.size() < 3) {
    const char c = text[at];
    if (c == '[' || c == '/' || is_blank(c)) {
      const NumberAtFront number = number_at_front(text.substr(at + 1));
      const auto whole = number.bytes > 0 ? step_of(number.value) : std::nullopt;
      if (!whole && !is_blank(c) && c != ']') break;
      if (whole) numbers.push_back(*whole);
      at += 1 + (whole ? number.bytes : 0);
    } else if (c == ']' && at + 1 < text.size() && text[at + 1] == '[') {
      ++at;
    } else {
      break;
    }
  }
  return numbers;
}

/// MMEngine's place in a run: "Epoch(train)  [1][ 50/151]" is iteration 50 of epoch 1, which has 151;
/// "Iter(train) [  50/160000]" is iteration 50.
std::optional<double> step_of_mmengine(std::string_view line) {
  constexpr std::string_view kByEpoch[] = {"Epoch(train)", "Epoch [", "Epoch["};
  for (const std::string_view word : kByEpoch) {
    const std::size_t at = line.find(word);
    if (at == std::string_view::npos) continue;
    const auto numbers = numbers_in_brackets(line.substr(at));
    if (numbers.size() < 3) return std::nullopt;
    return static_cast<double>(numbers[0] - 1) * static_cast<double>(numbers[2]) +
           static_cast<double>(numbers[1]);
  }
  for (const std::string_view word : {"Iter(train)", "Iter ["}) {
    const std::size_t at = line.find(word);
    if (at == std::string_view::npos) continue;
    const auto numbers = numbers_in_brackets(line.substr(at));
    if (numbers.empty()) return std::nullopt;
    return static_cast<double>(numbers[0]);
  }
  return std::nullopt;
}

/// How a program writes its lines.
struct Dialect {
  std::string_view name;
  std::string_view mark;  ///< stands in each of its lines
  std::vector<std::string_view> norm;
  std::vector<std::string_view> loss = {};
  std::vector<std::string_view> step = {};
  std::optional<double> (*find_step)(std::string_view) = nullptr;
  std::string_view averaging = {};
  std::string_view clipping = {};
};

const std::vector<Dialect>& dialects() {
  static const std::vector<Dialect> list = {
      {.name = "Megatron text log",
       .mark = " iteration ",
       .norm = {"grad norm"},
       .loss = {"lm loss", "loss"},
       .step = {"iteration"},
       .clipping = "before clipping, as Megatron logs it"},
      {.name = "torchtitan text log",
       .mark = "step:",
       .norm = {"grad_norm"},
       .loss = {"loss", "global_avg_loss"},
       .step = {"step"},
       .clipping = "before clipping, as torchtitan logs it"},
      {.name = "MMEngine text log",
       .mark = "(train)",
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .step = {},
       .find_step = step_of_mmengine,
       .averaging = kAveragingOfMmengine,
       .clipping = "before clipping, as MMEngine logs it"},
      {.name = "MMDetection text log",
       .mark = "Epoch [",
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .step = {},
       .find_step = step_of_mmengine,
       .averaging = "the iterations since the last line, as MMCV logs it",
       .clipping = "before clipping, as MMCV logs it"},
      {.name = "fairseq text log",
       .mark = "gnorm",
       .norm = {"gnorm", "train_gnorm"},
       .loss = {"loss", "train_loss"},
       .step = {"num_updates", "train_num_updates"},
       .averaging = "the steps since the last line, as fairseq logs it",
       .clipping = "before clipping, as fairseq logs it"},
      {.name = "verl text log",
       .mark = "actor/grad_norm",
       .norm = {"actor/grad_norm"},
       .loss = {"actor/pg_loss"},
       .step = {"step"},
       .averaging = "the updates of a step, as verl logs it"},
      {.name = "llm.c text log", .mark = "trl:", .norm = {"norm"}, .loss = {"trl"}, .step = {"s"}},
      {.name = "nanoGPT text log",
       .mark = "step",
       .norm = {"norm"},
       .loss = {"loss"},
       .step = {"step"},
       .clipping = "before clipping, as clip_grad_norm_ returns it"},
      {.name = "text log",
       .mark = "",
       .norm = {"grad_norm", "grad norm", "gradient_norm", "gradient norm", "grad-norm", "train/grad_norm",
                "grad_norm_total", "gradnorm", "gnorm", "grdn", "global_norm", "total_norm", "norm"},
       .loss = {"loss", "train_loss", "train/loss", "training_loss", "lm loss"},
       .step = {"global_step", "step", "iteration", "iter", "num_updates", "update", "train/step"}}};
  return list;
}

constexpr std::size_t kGeneral = 8;  // the last of them: no program's own

std::optional<double> step_in(std::string_view line, const Dialect& dialect) {
  if (dialect.find_step != nullptr) return dialect.find_step(line);
  return value_of(line, dialect.step, Separator::or_blanks);
}

/// Whether this is a line of that program with a gradient norm. Of a program's own step there must be one,
/// which keeps the general words apart from those of a line of something else.
bool fits(std::string_view line, const Dialect& dialect) {
  if (line.find(dialect.mark) == std::string_view::npos) return false;
  if (!value_of(line, dialect.norm, Separator::needed)) return false;
  return &dialect == &dialects()[kGeneral] || step_in(line, dialect).has_value();
}

const Dialect* dialect_of(std::string_view line) {
  const auto found =
      std::ranges::find_if(dialects(), [&](const Dialect& dialect) { return fits(line, dialect); });
  return found == dialects().end() ? nullptr : &*found;
}

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

std::optional<Reading> reading_of(std::string_view line, const Dialect& dialect) {
  if (line.find(dialect.mark) == std::string_view::npos) return std::nullopt;
  Reading reading;
  reading.norm = value_of(line, dialect.norm, Separator::needed);
  if (!reading.norm) return std::nullopt;
  reading.loss = value_of(line, dialect.loss, Separator::needed);
  if (const auto step = step_in(line, dialect)) reading.step = step_of(*step);
  return reading;
}

}  // namespace

bool looks_like_text_log(std::string_view front) {
  MemoryStream bytes(front);
  LineReader lines(bytes);
  Plain plain;
  while (const auto line = lines.next())
    if (dialect_of(plain.of(*line)) != nullptr) return true;
  return false;
}

Status read_text_log(const Source& source, TraceFacts& facts, TraceSink& sink) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  LineReader lines(**bytes);
  Plain plain;
  Joiner joiner(facts, sink);
  const Dialect* dialect = nullptr;
  bool steps = false;
  while (const auto raw = lines.next()) {
    const std::string_view line = plain.of(*raw);
    if (dialect == nullptr) {
      dialect = dialect_of(line);
      if (dialect == nullptr) continue;
      facts.format = dialect->name;
      facts.norm_name = *std::ranges::find_if(dialect->norm, [&](std::string_view name) {
        return value_of(line, name, Separator::needed).has_value();
      });
      facts.averaging = dialect->averaging;
      facts.clipping = dialect->clipping;
    }
    const auto reading = reading_of(line, *dialect);
    if (!reading) continue;
    // A cut line may end within a number.
    if (!lines.ended() && !line.empty() && goes_on(line.back()) && joiner.records() > 0) {
      facts.notes.emplace_back("The last line is not ended, and was left out.");
      break;
    }
    steps = steps || reading->step.has_value();
    if (reading->loss && facts.loss_name.empty()) {
      facts.loss_name = *std::ranges::find_if(dialect->loss, [&](std::string_view name) {
        return value_of(line, name, Separator::needed).has_value();
      });
    }
    if (!joiner.add(*reading)) return {};
  }
  GRADSTAB_RETURN_IF_ERROR(lines.status());
  joiner.finish();
  if (dialect == nullptr) {
    return {StatusCode::corrupt_data,
            "no line has a gradient norm in a way that is known (such as \"step 3 ... grad_norm: 1.5\"); "
            "--pattern REGEX reads others"};
  }
  if (steps) facts.step_name = dialect->find_step != nullptr ? "iteration" : dialect->step.front();
  return {};
}

}  // namespace gradstab::lab::inspect
