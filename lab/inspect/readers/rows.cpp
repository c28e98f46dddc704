#include "lab/inspect/readers/rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <utility>

#include "lab/inspect/readers/log_number.hpp"

namespace gradstab::lab::inspect {
namespace {

/// Names that a log may have; more are no names.
constexpr std::size_t kMostNames = 20'000;
/// Rows that are looked through for names once a norm was among them.
constexpr std::int64_t kEnoughRows = 4096;

/// What the runs of this program call the tensor with the largest norm.
constexpr std::string_view kLargestTensor = "raw_norm.max_name";

struct HashOfText {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};
template <class T>
using ByName = std::unordered_map<std::string, T, HashOfText, std::equal_to<>>;

/// MMEngine's and MMDetection's lines have these beside the norm.
bool is_of_mmengine(const std::vector<std::string>& names) {
  return std::ranges::all_of(std::array{"grad_norm", "data_time", "memory", "iter"},
                             [&](const char* name) { return std::ranges::find(names, name) != names.end(); });
}

/// What an evaluation says of itself: {"mode": "val"}, {"kind": "eval"}.
bool is_evaluation(std::string_view name, std::string_view value) {
  if (name != "mode" && name != "kind" && name != "split") return false;
  return value == "val" || value == "eval" || value == "test" || value == "validation" || value == "valid";
}

/// The step in "2/4389", of as many in all, where the name is that of a step.
std::optional<double> step_of_total(std::string_view name, std::string_view value) {
  const std::size_t slash = value.find('/');
  if (slash == std::string_view::npos || !fit_as_step(name)) return std::nullopt;
  const auto step = log_number(value.substr(0, slash));
  return step && step_of(*step) && log_number(value.substr(slash + 1)) ? step : std::nullopt;
}

/// Reads names, until they are enough.
class Survey : public RowSink {
 public:
  explicit Survey(const ColumnChoice& choice) : choice_(choice) {}

  void number(std::string_view name, double value) override {
    auto found = known_.find(name);
    if (found == known_.end()) {
      if (known_.size() >= kMostNames) return;
      Known known;
      known.place = names.all.size();
      known.norm = choice_.norm.empty() ? fit_as_norm(name).has_value() || !tensor_prefix(name).empty()
                                        : name == choice_.norm;
      names.all.emplace_back(name);
      has_norm_ = has_norm_ || known.norm;
      has_loss_ = has_loss_ || (choice_.loss.empty() ? fit_as_loss(name).has_value() : name == choice_.loss);
      found = known_.emplace(name, known).first;
    }
    row_has_norm_ = row_has_norm_ || found->second.norm;
    if (!found->second.no_step && !step_of(value)) {
      found->second.no_step = true;
      names.not_steps.emplace_back(name);
    }
    if (!found->second.beside) row_.push_back(&found->second);
  }
  void text(std::string_view name, std::string_view value) override {
    if (const auto step = step_of_total(name, value)) number(name, *step);
  }
  bool end_row() override {
    if (row_has_norm_)
      for (Known* each : row_)
        if (!std::exchange(each->beside, true)) names.beside_norm.push_back(names.all[each->place]);
    row_.clear();
    row_has_norm_ = false;
    return !(++rows_ >= kEnoughRows && has_norm_ && has_loss_);
  }

  NamesInLog names;

 private:
  const ColumnChoice& choice_;
  struct Known {
    std::size_t place = 0;
    bool norm = false;
    bool beside = false;
    bool no_step = false;
  };
  ByName<Known> known_;      // whose values stay where they are
  std::vector<Known*> row_;  // that are beside no norm yet
  bool row_has_norm_ = false;
  std::int64_t rows_ = 0;
  bool has_norm_ = false;
  bool has_loss_ = false;
};

/// Rows as readings.
class Mapper : public RowSink {
 public:
  Mapper(const Columns& columns, TraceFacts& facts, TraceSink& sink, bool null_is_nan)
      : columns_(columns), facts_(facts), joiner_(facts, sink), null_is_nan_(null_is_nan) {
    counts_epochs_ = columns.step == "iter";
  }

  void number(std::string_view name, double value) override {
    if (name == columns_.norm) {
      reading_.norm = value;
    } else if (name == columns_.loss) {
      reading_.loss = value;
    } else if (name == columns_.step) {
      reading_.step = step_of(value);
    } else if (counts_epochs_ && name == "epoch") {
      epoch_ = value;
    } else if (!columns_.tensors.empty() && name.starts_with(columns_.tensors)) {
      tensors_.push_back({tensor(name.substr(columns_.tensors.size())), value});
    }
  }

  void text(std::string_view name, std::string_view value) override {
    if (is_evaluation(name, value)) evaluation_ = true;
    if (name == columns_.step)
      if (const auto step = step_of_total(name, value)) return number(name, *step);
    if (name == kLargestTensor) largest_ = value;
    if (value == kNull && null_is_nan_) return number(name, std::numeric_limits<double>::quiet_NaN());
    if (name != columns_.norm || value.empty() || value == "None" || value == kNull) return;
    if (unread_++ == 0) first_unread_ = value.substr(0, 40);
  }

  bool end_row() override {
    Reading reading = std::exchange(reading_, {});
    reading.tensors = tensors_;
    reading.largest_tensor = largest_;
    bool more = true;
    if (!std::exchange(evaluation_, false)) {
      if (counts_epochs_) count_on(reading);
      more = joiner_.add(reading);
    }
    tensors_.clear();
    largest_.clear();
    return more;
  }

  void finish() {
    joiner_.finish();
    if (unread_ > 0) {
      facts_.notes.push_back(fmt::format("{} of '{}' {} no number, the first is '{}'.", unread_,
                                         columns_.norm, unread_ == 1 ? "value is" : "values are",
                                         first_unread_));
    }
  }
  std::int64_t records() const { return joiner_.records(); }

 private:
  std::uint32_t tensor(std::string_view name) {
    const auto found = places_.find(name);
    if (found != places_.end()) return found->second;
    const auto place = static_cast<std::uint32_t>(facts_.tensors.size());
    places_.emplace(name, place);
    facts_.tensors.emplace_back(name);
    return place;
  }

  /// MMDetection 2 counts its iterations anew in every epoch.
  void count_on(Reading& reading) {
    if (!reading.step) return;
    if (epoch_ > last_epoch_ && last_epoch_ >= 0.0 && *reading.step <= last_iteration_)
      before_epoch_ += last_iteration_;
    last_epoch_ = epoch_;
    last_iteration_ = *reading.step;
    reading.step = *reading.step + before_epoch_;
  }

  const Columns& columns_;
  TraceFacts& facts_;
  Joiner joiner_;
  Reading reading_;
  std::vector<TensorNorm> tensors_;
  ByName<std::uint32_t> places_;
  std::string largest_;
  bool null_is_nan_;
  bool evaluation_ = false;
  bool counts_epochs_ = false;
  double epoch_ = -1.0;
  double last_epoch_ = -1.0;
  std::int64_t last_iteration_ = 0;
  std::int64_t before_epoch_ = 0;
  std::int64_t unread_ = 0;
  std::string first_unread_;
};

}  // namespace

Status read_rows(const ReadRows& rows, const ColumnChoice& choice, TraceFacts& facts, TraceSink& sink,
                 bool null_is_nan) {
  Survey survey(choice);
  TraceFacts of_survey;  // what it notes is noted again
  GRADSTAB_RETURN_IF_ERROR(rows(of_survey, survey));
  auto columns = choose_columns(survey.names, choice);
  if (!columns) return columns.status();
  facts.norm_name = columns->norm.empty() ? columns->tensors + "*" : columns->norm;
  facts.loss_name = columns->loss;
  facts.step_name = columns->step == kRecordStep ? "step" : columns->step;
  facts.squared = columns->squared;
  if (columns->norm == kValueOfDownload && choice.norm.empty())
    facts.notes.emplace_back(
        "A download from TensorBoard does not say what it holds; it is taken for the norms.");
  if (!columns->clipping.empty()) facts.clipping = columns->clipping;
  if (columns->average) facts.averaging = "an average, as its name says";
  if (is_of_mmengine(survey.names.all)) facts.averaging = kAveragingOfMmengine;
  if (!columns->other_norms.empty()) {
    facts.notes.push_back(fmt::format("It also has {}; --norm NAME reads another one, or one of another run.",
                                      some_of(columns->other_norms)));
  }
  if (columns->norm.ends_with("__MAX") || columns->norm.ends_with("__MIN"))
    facts.notes.emplace_back("The chart was thinned: each value is an extreme of several steps.");
  Mapper mapper(*columns, facts, sink, null_is_nan);
  GRADSTAB_RETURN_IF_ERROR(rows(facts, mapper));
  mapper.finish();
  if (mapper.records() == 0) {
    return {StatusCode::corrupt_data,
            fmt::format("'{}' has no number in any of its records", facts.norm_name)};
  }
  return {};
}

}  // namespace gradstab::lab::inspect
