#include "lab/inspect/readers/text_dialects.hpp"

#include <algorithm>
#include <iterator>
#include <span>

#include "lab/inspect/readers/names.hpp"
#include "lab/inspect/readers/rows.hpp"

namespace gradstab::lab::inspect {

bool goes_on(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '/' ||
         c == '.' || c == '-';
}

namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

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

}  // namespace

const std::vector<Dialect>& dialects() {
  static const std::vector<Dialect> list = {
      {.name = "Megatron text log",
       .marks = {"iteration ", "|"},
       .norm = {"grad norm"},
       .loss = {"lm loss", "lm-loss", "loss"},
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
      // It numbers batches of an epoch, and says nowhere how many there are.
      {.name = "ESPnet text log",
       .marks = {"epoch:train:", "batch: "},
       .norm = {"grad_norm"},
       .loss = {"loss"},
       .averaging = "the mean over the steps since the last line, as ESPnet logs it",
       .clipping = "before clipping, as ESPnet logs it"},
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
       .step = {"global_step", "global_step/max_steps", "step", "iteration", "iter", "num_updates", "update",
                "train/step"},
       .other_losses = true,
       .general = true},
      {.name = "text log",
       .norm = {"grad_norm", "grad norm", "gradient_norm", "gradient norm", "grad-norm", "gradnorm", "gnorm"},
       .loss = {"loss", "train_loss", "train loss"},
       .step = {"global_step", "step", "iteration", "iter", "num_updates", "update"},
       .separator = Separator::or_blanks,
       .general = true}};
  return list;
}

namespace {

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

}  // namespace

std::optional<Named> norm_in(std::string_view line, const Dialect& dialect, Names& names) {
  for (const std::string_view mark : dialect.marks)
    if (line.find(mark) == std::string_view::npos) return std::nullopt;
  return pinned(line, names.norm, dialect.norm, dialect.separator, "norm",
                dialect.general && dialect.separator == Separator::needed ? fit_as_norm : nullptr);
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

namespace {

/// Whether this is a line of that program with a gradient norm. Of a program's own step there must be one,
/// which keeps the general words apart from those of a line of something else.
bool fits(std::string_view line, const Dialect& dialect, Beside beside) {
  Names names;
  if (!norm_in(line, dialect, names)) return false;
  const bool has_steps = dialect.find_step != nullptr || !dialect.step.empty();
  if (!has_steps || step_in(line, dialect, names)) return true;
  return dialect.general && dialect.separator == Separator::needed &&
         (beside == Beside::nothing || loss_in(line, dialect, names));
}

}  // namespace

const Dialect* dialect_of(std::string_view line, Lowered& lowered, Beside beside) {
  const std::string_view lower = lowered.of(line);
  const auto found = std::ranges::find_if(dialects(), [&](const Dialect& dialect) {
    return fits(dialect.general ? lower : line, dialect, beside);
  });
  return found == dialects().end() ? nullptr : &*found;
}

}  // namespace gradstab::lab::inspect
