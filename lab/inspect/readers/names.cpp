#include "lab/inspect/readers/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <span>

#include "lab/support/nearest.hpp"

namespace gradstab::lab::inspect {
namespace {

/// Lower case, with one underscore for whatever is neither letter nor digit.
std::string plain(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z')
      result += static_cast<char>(c - 'A' + 'a');
    else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      result += c;
    else if (result.empty() || result.back() != '_')
      result += '_';
  }
  return result;
}

/// What a chart of W&B calls a metric: "<run> - <metric>__MAX".
std::string_view without_run(std::string_view name) {
  if (const std::size_t dash = name.rfind(" - "); dash != std::string_view::npos)
    name.remove_prefix(dash + 3);
  return name;
}

/// What stands behind the last '/', '.' or blank-free prefix: "grad_norm" of "train/grad_norm". The point in
/// "grad_2.0_norm" is none.
std::string last_part(std::string_view name) {
  std::size_t begin = name.rfind('/');
  begin = begin == std::string_view::npos ? 0 : begin + 1;
  for (std::size_t at = name.size(); at-- > begin + 1;) {
    const bool between_digits = at + 1 < name.size() && name[at + 1] >= '0' && name[at + 1] <= '9';
    if (name[at] == '.' && !between_digits) {
      begin = at + 1;
      break;
    }
  }
  return plain(name.substr(begin));
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool has_any(std::string_view text, std::span<const std::string_view> parts) {
  return std::ranges::any_of(parts, [&](std::string_view part) { return has(text, part); });
}

/// Whether one of the words between underscores is among these.
bool has_word(std::string_view text, std::span<const std::string_view> words) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('_', begin), text.size());
    if (std::ranges::find(words, text.substr(begin, end - begin)) != words.end()) return true;
    begin = end + 1;
  }
  return false;
}

/// Where a name says that its norm was read.
enum class Clipping { unknown, before_norm, after_norm };

Clipping place_of_clipping(std::string_view plain_name) {
  for (const std::string_view part : {"unclipped", "before_clip", "pre_clip", "preclip"})
    if (has(plain_name, part)) return Clipping::after_norm;
  for (const std::string_view part : {"clipped", "after_clip", "post_clip", "postclip"})
    if (has(plain_name, part)) return Clipping::before_norm;
  return Clipping::unknown;
}

std::optional<int> place_in(std::span<const std::string_view> list, std::string_view word) {
  const auto found = std::ranges::find(list, word);
  if (found == list.end()) return std::nullopt;
  return static_cast<int>(found - list.begin());
}

constexpr std::string_view kOfEvaluation[] = {"eval",       "evaluation", "val", "valid",
                                              "validation", "test",       "dev"};
/// How much worse the norm after clipping fits than any other.
constexpr int kClippedNorm = 300;
constexpr std::string_view kSecondNorm[] = {"l2"};
constexpr std::string_view kAverages[] = {"avg", "mean", "average", "ema", "smooth", "smoothed", "median"};
constexpr std::string_view kSmallest = "__MIN";
constexpr std::string_view kLargest = "__MAX";

/// The bucket of a chart that was thinned: what its largest values are called is read in their place.
int thinning(std::string_view name) {
  if (name.ends_with(kLargest)) return 0;
  return name.ends_with(kSmallest) ? 2 : 1;
}

std::string_view without_thinning(std::string_view name) {
  if (name.ends_with(kSmallest) || name.ends_with(kLargest)) name.remove_suffix(kLargest.size());
  return name;
}

std::optional<int> best_fit(const std::vector<std::string>& names,
                            std::optional<int> (*fit)(std::string_view), std::string& chosen) {
  std::optional<int> best;
  for (const std::string& name : names) {
    const auto found = fit(name);
    if (!found || (best && *best <= *found)) continue;
    best = found;
    chosen = name;
  }
  return best;
}

Status check_there(const std::vector<std::string>& names, const std::string& name, const char* flag) {
  if (name.empty() || std::ranges::find(names, name) != names.end()) return {};
  if (names.empty()) return {StatusCode::corrupt_data, "it holds no named values"};
  return {StatusCode::invalid_argument, fmt::format("{}: it has no '{}'; the nearest name in it is '{}'",
                                                    flag, name, nearest(name, names))};
}

}  // namespace

std::optional<int> fit_as_norm(std::string_view name) {
  constexpr std::string_view kExact[] = {"grad_norm",       "gradient_norm",   "gradnorm", "global_grad_norm",
                                         "total_grad_norm", "grad_norm_total", "gnorm",    "grdn"};
  constexpr std::string_view kAlone[] = {"norm", "global_norm", "total_norm", "raw_norm"};
  constexpr std::string_view kOthers[] = {"param_norm", "weight_norm", "update_norm", "layer_norm",
                                          "batch_norm", "vs_samples",  "ratio",       "max_grad",
                                          "max_norm",   "clip_grad",   "clip_norm",   "norm_type"};
  // A setting, not what was measured.
  constexpr std::string_view kLimits[] = {"norm_clip", "norm_clipping", "norm_threshold", "norm_limit"};
  if (!tensor_prefix(name).empty()) return std::nullopt;
  const int thinned = thinning(name);
  const std::string_view metric = without_thinning(without_run(name));
  const std::string whole = plain(metric);
  const std::string last = last_part(metric);
  if (has_any(whole, kOthers) || has_word(whole, kOfEvaluation)) return std::nullopt;
  if (std::ranges::any_of(kLimits, [&](std::string_view limit) { return whole.ends_with(limit); }))
    return std::nullopt;
  // Of a last value and an average the last value, and what was measured before it was clipped.
  const int penalty = thinned + (has_word(whole, kAverages) ? 5 : 0) +
                      (place_of_clipping(whole) == Clipping::before_norm ? kClippedNorm : 0);
  if (const auto place = place_in(kExact, last)) return 10 * *place + penalty;
  if (has(last, "grad") && has(last, "norm")) return 100 + penalty;
  if (has(whole, "grad") && (has(whole, "norm") || has_word(whole, kSecondNorm))) return 110 + penalty;
  if (const auto place = place_in(kAlone, last)) return 200 + 10 * *place + penalty;
  return std::nullopt;
}

std::optional<int> fit_as_loss(std::string_view name) {
  constexpr std::string_view kExact[] = {"loss",     "train_loss", "training_loss", "loss_train", "lm_loss",
                                         "nll_loss", "trl",        "total_loss",    "pg_loss"};
  const std::string_view metric = without_thinning(without_run(name));
  const std::string whole = plain(metric);
  const std::string last = last_part(metric);
  if (!has(whole, "loss") && last != "trl") return std::nullopt;
  if (has_word(whole, kOfEvaluation) || has(whole, "loss_scale") || has(whole, "vs_samples"))
    return std::nullopt;
  // The mean, where a chart was thinned: it is compared with its like.
  const int thinned = thinning(name) == 1 ? 0 : 1;
  if (const auto place = place_in(kExact, last)) return 10 * *place + thinned;
  return 100 + thinned;
}

std::optional<int> fit_as_step(std::string_view name) {
  constexpr std::string_view kExact[] = {"trainer_global_step",
                                         "train_global_step",
                                         "global_step",
                                         "step",
                                         "iteration",
                                         "iter",
                                         "iterations",
                                         "num_updates",
                                         "train_step",
                                         "training_step",
                                         "update",
                                         "updates",
                                         "batches",
                                         "training_iteration",
                                         "global_step_max_steps",
                                         "_step"};
  if (name == kRecordStep) return -1;
  return place_in(kExact, plain(name));
}

bool says_squared(std::string_view name) {
  constexpr std::string_view kSquared[] = {"norm_sq", "normsq", "squared",
                                           "sq_norm", "sqnorm", "square_norm"};
  return has_any(plain(name), kSquared);
}

std::string_view tensor_prefix(std::string_view name) {
  // The part up to the slash speaks of gradient norms: not "train/grad_norm", whose name stands behind it.
  for (std::size_t slash = name.find('/'); slash != std::string_view::npos;
       slash = name.find('/', slash + 1)) {
    const std::string before = plain(name.substr(0, slash));
    if (has(before, "grad") && has(before, "norm") && slash + 1 < name.size()) {
      const std::string rest = plain(name.substr(slash + 1));
      if (rest == "total" || rest == "global" || rest == "all" || rest == "train") return {};
      return name.substr(0, slash + 1);
    }
  }
  return {};
}

std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 8;
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kMost; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kMost) text += fmt::format(" and {} more", names.size() - kMost);
  return text;
}

namespace {

bool is_among(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// The other names of norms before clipping. Of a thinned chart one stands for all of its columns.
std::vector<std::string> norms_beside(const std::string& norm, const std::vector<std::string>& names) {
  std::vector<std::string> others;
  for (const std::string& name : names) {
    const auto fit = fit_as_norm(name);
    if (!fit || *fit >= kClippedNorm || without_thinning(name) == without_thinning(norm)) continue;
    const bool has_better =
        name.ends_with(kSmallest) || (thinning(name) == 1 && is_among(names, name + std::string(kLargest)));
    if (!has_better) others.push_back(name);
  }
  return others;
}

}  // namespace

Result<Columns> choose_columns(const NamesInLog& in_log, const ColumnChoice& choice) {
  const std::vector<std::string>& names = in_log.all;
  GRADSTAB_RETURN_IF_ERROR(check_there(names, choice.norm, "--norm"));
  GRADSTAB_RETURN_IF_ERROR(check_there(names, choice.loss, "--loss"));
  GRADSTAB_RETURN_IF_ERROR(check_there(names, choice.step, "--step"));
  const auto is_no_step = [&](const std::string& name) {
    return std::ranges::find(in_log.not_steps, name) != in_log.not_steps.end();
  };
  if (is_no_step(choice.step)) {
    return Status(
        StatusCode::invalid_argument,
        fmt::format("--step: '{}' counts no steps: it has fractions or negative numbers", choice.step));
  }
  Columns columns{choice.norm, choice.loss, choice.step, {}};
  if (columns.norm.empty()) best_fit(names, fit_as_norm, columns.norm);
  if (columns.loss.empty()) {
    std::string other;
    const auto best = best_fit(in_log.beside_norm, fit_as_loss, columns.loss);
    const auto anywhere = best_fit(names, fit_as_loss, other);
    if (anywhere && (!best || *anywhere < *best)) columns.loss = other;
  }
  const auto steps_among = [&](std::vector<std::string> list) {
    std::erase_if(list, is_no_step);
    return best_fit(list, fit_as_step, columns.step).has_value();
  };
  if (columns.step.empty() && !steps_among(in_log.beside_norm)) steps_among(names);
  // Of several kinds of norms of tensors that of the most tensors.
  std::map<std::string_view, int> prefixes;
  for (const std::string& name : names)
    if (const std::string_view prefix = tensor_prefix(name); !prefix.empty()) ++prefixes[prefix];
  int most = 1;
  for (const auto& [prefix, count] : prefixes) {
    if (count <= most) continue;
    most = count;
    columns.tensors = prefix;
  }
  if (columns.norm.empty() && columns.tensors.empty() && is_among(names, "Wall time") &&
      is_among(names, kValueOfDownload))
    columns.norm = kValueOfDownload;
  if (columns.norm.empty() && columns.tensors.empty()) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("nothing in it looks like a gradient norm; it has {}; --norm NAME chooses one",
                              names.empty() ? "no named numbers" : some_of(names)));
  }
  const std::string& read = columns.norm.empty() ? columns.tensors : columns.norm;
  columns.squared = says_squared(read);
  const Clipping clipping = place_of_clipping(plain(read));
  if (clipping == Clipping::after_norm) columns.clipping = "before clipping, as its name says";
  if (clipping == Clipping::before_norm) columns.clipping = "after clipping, as its name says";
  columns.average = has_word(plain(without_thinning(without_run(read))), kAverages);
  if (!columns.norm.empty()) columns.other_norms = norms_beside(columns.norm, names);
  return columns;
}

}  // namespace gradstab::lab::inspect
