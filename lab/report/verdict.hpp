// The figures that a run is judged by, and the tables and sentences made of them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/report/grouping.hpp"

namespace gradstab::lab {

/// How a run ended, or that it has not.
enum class RunState {
  finished,
  interrupted,
  diverged,
  running,
  killed,             ///< it has no summary, and no process works in its folder
  failed,             ///< the same, and RunRecord::failure says why
  running_or_killed,  ///< it has no summary, and nobody asked whether its process is there
};

/// By its summary, and where it has none by RunRecord::at_work and RunRecord::failure.
RunState state_of(const RunRecord& run);

/// What one row of the verdict table shows. Figures that were not recorded are NaN.
struct RunFigures {
  std::vector<double> values;    ///< of every metric: final; the last ones measured where there is no summary
  std::int64_t score_step = 0;   ///< where they were measured
  bool tested = false;           ///< on the test part, and not on the validation part
  bool comparable = true;        ///< with the others: they read the same data
  double difference = kNoValue;  ///< to the reference run's score on the same part at the same step
  double spikes = kNoValue;      ///< tensors flagged, over all steps
  double nonfinite = kNoValue;   ///< tensors with a non-finite gradient, over all steps
  double largest_norm = kNoValue;
  std::int64_t largest_norm_step = 0;
  double seconds = kNoValue;
  double samples_per_second = kNoValue;  ///< median over steps
  std::int64_t last_step = 0;
  RunState state = RunState::running_or_killed;

  /// The first value, by which runs are judged.
  double score() const noexcept { return values.empty() ? kNoValue : values.front(); }
};

/// The figures of `run`; from its summary, and from its metrics where it has none.
RunFigures figures_of(const RunRecord& run, const RunRecord& reference);

/// "finished", "running or killed", ...
std::string to_string(RunState state);

/// HTML: the state with its mark. `text` is HTML, as to_string or with a number before it.
std::string state_badge(RunState state, const std::string& text);

/// HTML: one row per run, a column for each metric of the measures.
std::string run_table(std::span<const RunFigures> figures, const Arrangement& arrangement,
                      const TaskInfo& measures);

/// HTML: one row per group, mean and sample standard deviation over its runs. Differences are between the
/// means of a group and of the first group.
std::string group_table(std::span<const RunFigures> figures, const Arrangement& arrangement,
                        const TaskInfo& measures);

/// HTML: which configuration ended best, by how much, and how sure that is given the number of seeds.
std::string verdict_sentence(std::span<const RunFigures> figures, const Arrangement& arrangement,
                             const TaskInfo& measures);

/// "lowest" or "highest"
std::string_view best_word(const Metric& metric) noexcept;

}  // namespace gradstab::lab
