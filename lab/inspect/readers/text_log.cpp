#include "lab/inspect/readers/text_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lab/inspect/readers/joiner.hpp"
#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/names.hpp"
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

/// A number behind a name.
struct Named {
  std::string_view name;
  double value = 0.0;
  bool rounded = false;  ///< it was said in thousands or millions: "7K"
};

/// The number where the name ends, at `behind`: ": 1.5", "=1.5", "': 1.5", "     3".
std::optional<Named> number_behind(std::string_view line, std::string_view name, std::size_t behind,
                                   Separator separator) {
  if (behind < line.size() && (line[behind] == '"' || line[behind] == '\'')) ++behind;
  const std::size_t blanks = behind;
  while (behind < line.size() && is_blank(line[behind])) ++behind;
  const bool separated = behind < line.size() && (line[behind] == ':' || line[behind] == '=');
  if (separated)
    ++behind;
  else if (separator == Separator::needed || behind == blanks)
    return std::nullopt;
  const NumberAtFront number = number_at_front(line.substr(behind));
  if (number.bytes == 0) return std::nullopt;
  const std::string_view rest = line.substr(behind + number.bytes);
  if (separator == Separator::or_blanks && !rest.empty() && (rest.size() == 1 || !goes_on(rest[1]))) {
    if (rest[0] == 'K' || rest[0] == 'k') return Named{name, number.value * 1e3, true};
    if (rest[0] == 'M' || rest[0] == 'm') return Named{name, number.value * 1e6, true};
  }
  return Named{name, number.value, false};
}

/// Whether the word before the one at `at` says that it is something else: "param norm", "val loss".
bool is_of_something_else(std::string_view line, std::size_t at) {
  constexpr std::string_view kOthers[] = {"param", "params", "weight",     "weights", "update", "layer",
                                          "batch", "val",    "validation", "valid",   "eval",   "test"};
  if (at < 2 || line[at - 1] != ' ') return false;
  const std::string_view before = line.substr(0, at - 1);
  std::size_t begin = before.size();
  while (begin > 0 && goes_on(before[begin - 1])) --begin;
  std::string word(before.substr(begin));
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::ranges::find(kOthers, word) != std::end(kOthers);
}

/// The number behind `name`, where `name` is a word by itself: "grad_norm: 1.5", "gnorm=1.5",
/// "'grad_norm': 1.5", "step     3".
std::optional<Named> value_of(std::string_view line, std::string_view name, Separator separator) {
  for (std::size_t at = line.find(name); at != std::string_view::npos; at = line.find(name, at + 1)) {
    if ((at > 0 && goes_on(line[at - 1])) || is_of_something_else(line, at)) continue;
    if (const auto found = number_behind(line, name, at + name.size(), separator)) return found;
  }
  return std::nullopt;
}

std::optional<Named> value_of(std::string_view line, std::span<const std::string_view> names,
                              Separator separator) {
  for (const std::string_view name : names)
    if (const auto value = value_of(line, name, separator)) return value;
  return std::nullopt;
}

/// The number behind the word with `part` in it that fits best: behind "optim/grad_norm_total" or
/// "reduced_train_loss". The name is a part of the line.
std::optional<Named> value_by_fit(std::string_view line, std::string_view part,
                                  std::optional<int> (*fit)(std::string_view)) {
  std::optional<Named> best;
  int best_fit = 0;
  for (std::size_t at = line.find(part); at != std::string_view::npos; at = line.find(part, at + 1)) {
    std::size_t begin = at, end = at + part.size();
    while (begin > 0 && goes_on(line[begin - 1])) --begin;
    while (end < line.size() && goes_on(line[end])) ++end;
    const std::string_view word = line.substr(begin, end - begin);
    const auto found = fit(word);
    if (!found || is_of_something_else(line, begin) || (best && best_fit <= *found)) continue;
    if (const auto number = number_behind(line, word, end, Separator::needed)) {
      best = number;
      best_fit = *found;
    }
  }
  return best;
}

/// The numbers in brackets at the front of a text, a list for each pair, with blanks between them: "[1]
/// [ 50/151]" are 1, and 50 and 151.
std::vector<std::vector<std::int64_t>> numbers_in_brackets(std::string_view text) {
  std::vector<std::vector<std::int64_t>> groups;
  std::size_t at = 0;
  while (groups.size() < 2) {
    while (at < text.size() && is_blank(text[at])) ++at;
    if (at == text.size() || text[at] != '[') break;
    groups.emplace_back();
    do {
      const NumberAtFront number = number_at_front(text.substr(++at));
      const auto whole = number.bytes > 0 ? step_of(number.value) : std::nullopt;
      if (!whole) return groups;
      groups.back().push_back(*whole);
      at += number.bytes;
      while (at < text.size() && is_blank(text[at])) ++at;
    } while (at < text.size() && text[at] == '/');
    if (at == text.size() || text[at] != ']') break;
    ++at;
  }
  return groups;
}

/// The iteration of "[epoch][iteration/iterations of an epoch]" behind one of these words; epochs are counted
/// from `first`.
std::optional<double> step_by_epoch(std::string_view line, std::span<const std::string_view> words,
                                    std::int64_t first) {
  for (const std::string_view word : words) {
    const std::size_t at = line.find(word);
    if (at == std::string_view::npos) continue;
    const auto groups = numbers_in_brackets(line.substr(at + word.size()));
    if (groups.size() < 2 || groups[1].size() < 2) return std::nullopt;
    return static_cast<double>(groups[0][0] - first) * static_cast<double>(groups[1][1]) +
           static_cast<double>(groups[1][0]);
  }
  return std::nullopt;
}

/// MMEngine's place in a run: "Epoch(train)  [1][ 50/151]" is iteration 50 of epoch 1, which has 151;
/// "Iter(train) [  50/160000]" is iteration 50.
std::optional<double> step_of_mmengine(std::string_view line) {
  constexpr std::string_view kByEpoch[] = {"Epoch(train)", "Epoch"};
  if (const auto step = step_by_epoch(line, kByEpoch, 1)) return step;
  for (const std::string_view word : {"Iter(train)", "Iter"}) {
    const std::size_t at = line.find(word);
    if (at == std::string_view::npos) continue;
    const auto groups = numbers_in_brackets(line.substr(at + word.size()));
    if (groups.empty() || groups[0].empty()) return std::nullopt;
    return static_cast<double>(groups[0][0]);
  }
  return std::nullopt;
}

/// "Train: [14/300][250/1251]" and "Epoch: [14]  [250/1251]"; the first epoch is 0.
std::optional<double> step_of_swin(std::string_view line) {
  constexpr std::string_view kByEpoch[] = {"Train:", "Epoch:"};
  return step_by_epoch(line, kByEpoch, 0);
}

/// How a program writes its lines.
struct Dialect {
  std::string_view name;
  std::vector<std::string_view> marks = {};  ///< stand in each of its lines with a norm
  std::vector<std::string_view> norm;
  std::vector<std::string_view> loss = {};
  std::vector<std::string_view> step = {};
  std::optional<double> (*find_step)(std::string_view) = nullptr;
  /// The step stands behind this, on a line before those of its norm and its loss.
  std::string_view step_before = {};
  Separator separator = Separator::needed;  ///< of norms and losses
  bool other_losses = false;                ///< without one of these names, the best word with "loss" in it
  std::string_view averaging = {};
  std::string_view clipping = {};
};

const std::vector<Dialect>& dialects() {
  static const std::vector<Dialect> list = {
      {.name = "Megatron text log",
       .marks = {"iteration ", "|"},
       .norm = {"grad norm"},
       .loss = {"lm loss", "loss"},
       .step = {"iteration"},
       .clipping = "before clipping, as Megatron logs it"},
      {.name = "torchtitan text log",
       .marks = {"step:", "tps:"},
       .norm = {"grad_norm"},
       .loss = {"loss", "global_avg_loss"},
       .step = {"step"},
       .clipping = "before clipping, as torchtitan logs it"},
      {.name = "MMEngine text log",
       .marks = {"(train)"},
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .find_step = step_of_mmengine,
       .averaging = kAveragingOfMmengine,
       .clipping = "before clipping, as MMEngine logs it"},
      {.name = "MMDetection text log",
       .marks = {"lr: ", "grad_norm: "},
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .find_step = step_of_mmengine,
       .averaging = "the mean over the iterations since the last line, as MMCV logs it",
       .clipping = "before clipping, as MMCV logs it"},
      {.name = "Swin text log",
       .marks = {"Train: [", "grad_norm "},
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .find_step = step_of_swin,
       .separator = Separator::or_blanks,
       .clipping = "before clipping, as Swin Transformer logs it"},
      {.name = "text log of MetricLogger",
       .marks = {"Epoch: [", "time: ", "data: "},
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .find_step = step_of_swin,
       .other_losses = true,
       .averaging =
           "the median of the last 20 iterations, as MetricLogger of DETR, BEiT, MAE and many others "
           "shows it: single spikes are not in it"},
      {.name = "OLMo text log",
       .norm = {"optim/total_grad_norm", "optim/total grad norm"},
       .loss = {"train/CrossEntropyLoss", "train/CE loss"},
       .step_before = "[step="},
      {.name = "fairseq text log",
       .marks = {"gnorm"},
       .norm = {"gnorm", "train_gnorm"},
       .loss = {"loss", "train_loss"},
       .step = {"num_updates", "train_num_updates"},
       .averaging = "the mean over the steps since the last line, as fairseq logs it",
       .clipping = "before clipping, as fairseq logs it"},
      {.name = "fairseq text log",
       .marks = {"| gnorm ", "| epoch "},
       .norm = {"gnorm"},
       .loss = {"loss"},
       .step = {"num_updates"},
       .separator = Separator::or_blanks,
       .averaging = "the mean over an epoch, as fairseq logs it",
       .clipping = "before clipping, as fairseq logs it"},
      {.name = "verl text log",
       .marks = {"actor/grad_norm"},
       .norm = {"actor/grad_norm"},
       .loss = {"actor/pg_loss"},
       .step = {"step"},
       .averaging = "the mean over the updates of a step, as verl logs it"},
      {.name = "lerobot text log",
       .marks = {"smpl:", "grdn:"},
       .norm = {"grdn"},
       .loss = {"loss"},
       .step = {"step"},
       .averaging = "the mean over the steps since the last line, as lerobot logs it",
       .clipping = "before clipping, as lerobot logs it"},
      {.name = "llm.c text log", .marks = {"trl:"}, .norm = {"norm"}, .loss = {"trl"}, .step = {"s"}},
      {.name = "nanoGPT text log",
       .marks = {"step", "| norm:", "tok/sec"},
       .norm = {"norm"},
       .loss = {"loss"},
       .step = {"step"},
       .clipping = "before clipping, as clip_grad_norm_ returns it"},
      {.name = "text log",
       .norm = {"grad_norm", "grad norm", "gradient_norm", "gradient norm", "grad-norm", "train/grad_norm",
                "grad_norm_total", "gradnorm", "gnorm", "grdn", "global_norm", "total_norm", "norm"},
       .loss = {"loss", "train_loss", "train/loss", "training_loss", "lm loss", "train loss"},
       .step = {"global_step", "step", "iteration", "iter", "num_updates", "update", "train/step"},
       .other_losses = true}};
  return list;
}

/// The last of them: no program's own. Capital letters do not count, and any word may be the name of a norm.
bool is_general(const Dialect& dialect) {
  return &dialect == &dialects().back();
}

/// The names that a log was found to have. One that was found stays: other lines have other norms.
struct Names {
  std::string norm, loss, step;
};

/// The number of one of the dialect's names, or of the one that was found before. With `part` and `fit` other
/// words with that part are looked at, too.
std::optional<Named> pinned(std::string_view line, std::string& name, std::span<const std::string_view> names,
                            Separator separator, std::string_view part = {},
                            std::optional<int> (*fit)(std::string_view) = nullptr) {
  if (!name.empty()) return value_of(line, name, separator);
  auto found = value_of(line, names, separator);
  if (!found && fit != nullptr) found = value_by_fit(line, part, fit);
  if (found) name = found->name;
  return found;
}

std::optional<Named> norm_in(std::string_view line, const Dialect& dialect, Names& names) {
  for (const std::string_view mark : dialect.marks)
    if (line.find(mark) == std::string_view::npos) return std::nullopt;
  return pinned(line, names.norm, dialect.norm, dialect.separator, "norm",
                is_general(dialect) ? fit_as_norm : nullptr);
}

std::optional<Named> loss_in(std::string_view line, const Dialect& dialect, Names& names) {
  return pinned(line, names.loss, dialect.loss, dialect.separator, "loss",
                dialect.other_losses ? fit_as_loss : nullptr);
}

std::optional<Named> step_in(std::string_view line, const Dialect& dialect, Names& names) {
  if (dialect.find_step == nullptr) return pinned(line, names.step, dialect.step, Separator::or_blanks);
  const auto step = dialect.find_step(line);
  if (!step) return std::nullopt;
  names.step = "iteration";
  return Named{names.step, *step, false};
}

/// What a line must have beside a norm to be the one by which a log is known. The settings that programs
/// print first have neither.
enum class Beside { step_or_loss, nothing };

/// Whether this is a line of that program with a gradient norm. Of a program's own step there must be one,
/// which keeps the general words apart from those of a line of something else.
bool fits(std::string_view line, const Dialect& dialect, Beside beside) {
  Names names;
  if (!norm_in(line, dialect, names)) return false;
  if (!dialect.step_before.empty() || step_in(line, dialect, names)) return true;
  return is_general(dialect) && (beside == Beside::nothing || loss_in(line, dialect, names));
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

/// Lower case of a line, in a memory of its own.
class Lowered {
 public:
  std::string_view of(std::string_view line) {
    text_.assign(line);
    for (char& c : text_)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text_;
  }

 private:
  std::string text_;
};

const Dialect* dialect_of(std::string_view line, Lowered& lowered, Beside beside) {
  const auto own = std::span(dialects()).first(dialects().size() - 1);
  const auto found =
      std::ranges::find_if(own, [&](const Dialect& dialect) { return fits(line, dialect, beside); });
  if (found != own.end()) return &*found;
  return fits(lowered.of(line), dialects().back(), beside) ? &dialects().back() : nullptr;
}

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
    return last_ = *last_ + spacing_;
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
    if (is_general(*dialect_)) line = lowered_.of(line);
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
