// What a task's numbers mean, as data: all that tables, charts, claims and progress need to show them.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/support/json.hpp"

namespace gradstab::lab {

/// What stands for a number that is not there.
inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

enum class Better { lower, higher };

/// A number that an evaluation gives.
struct Metric {
  std::string key;    ///< in files: "validation_loss"
  std::string title;  ///< of a column or a chart: "Validation loss"
  std::string noun;   ///< inside a sentence: "loss"
  std::string unit;   ///< "nats per token"; empty for none
  Better better = Better::lower;
  int digits = 4;            ///< after the point
  std::string meaning = {};  ///< what it is, in a sentence for those who do not know; may be empty
  /// It is the exponential of the first metric, and is not recorded; of several runs it is that of their
  /// mean.
  bool exp_of_score = false;
};

/// The same value, so signed that lower is better: what claims subtract.
double cost(const Metric& metric, double value) noexcept;

/// Whether `value` is better than `other`; never where one of them is no number.
bool is_better(const Metric& metric, double value, double other) noexcept;

/// Describes a task's numbers. Written to run.json, from where reports and verdicts read it.
struct TaskInfo {
  std::string name;              ///< "llm"
  std::string sample;            ///< what progress counts, in the plural, as a key: "environment_steps"
  std::string held_out;          ///< where evaluations look: "on held-out text"
  std::string loss_unit;         ///< of the training loss: "nats per token"
  std::vector<Metric> metrics;   ///< the first is the score that runs are judged by
  double uninformed = kNoValue;  ///< score of one who knows nothing; ending worse counts as diverged
  double loss_spike = 0.5;  ///< a training loss so far above the median of those before it; 0: none is one

  /// The metric that runs are judged by.
  const Metric& score() const { return metrics.front(); }
  /// The sample inside a sentence: "environment steps".
  std::string sample_in_words() const;
  /// "tokens_per_second"
  std::string rate_key() const { return sample + "_per_second"; }
};

/// The values of all metrics, from those that are measured: metrics that are exponentials of the score are
/// computed. `measured` has a value for each of the others, in their order; what is missing is no number.
std::vector<double> with_derived(const TaskInfo& info, std::span<const double> measured);

/// Whether the numbers of both mean the same: metrics of the same keys and directions, in the same order.
bool have_same_metrics(const TaskInfo& a, const TaskInfo& b) noexcept;

/// Whether a run that ends with this score knows no more than one who knows nothing.
bool is_diverged(const TaskInfo& info, double score) noexcept;

/// "lower is better"
std::string_view direction_text(const Metric& metric) noexcept;

/// A title inside a sentence: "validation loss"; a title that begins with an abbreviation stays as it is.
std::string in_sentence(const std::string& title);

/// A noun at the beginning of a heading: "Loss".
std::string as_heading(const std::string& noun);

Json to_json(const TaskInfo& info);

/// What is missing or does not fit is a complaint of `json`.
TaskInfo task_info_from_json(const JsonReader& json);

}  // namespace gradstab::lab
